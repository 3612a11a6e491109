//! Access, keys, roles, personal data and change-data-capture: what can be typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::JsonArgs;
use importer::ports::api_access::ApiScope;
use jiff::Timestamp;
use uuid::Uuid;

#[derive(Clone, Debug, Subcommand)]
pub enum TokensCommand {
    /// Make a token and show it, once.
    #[command(after_help = "Examples:\n  \
        salla-sync tokens create --name backend --scope read --scope operate\n  \
        salla-sync tokens create --name support --scope read --shop 1305146709 --days 90")]
    Create(CreateTokenArgs),
    /// List tokens, the latest first, without the tokens themselves.
    List(JsonArgs),
    /// End a token now.
    #[command(after_help = "Example:\n  \
        salla-sync tokens revoke 0199d0a2-7c1e-7a11-8f00-000000000001")]
    Revoke(RevokeTokenArgs),
}

#[derive(Args, Clone, Debug)]
pub struct CreateTokenArgs {
    /// What it is for.
    #[arg(long, value_name = "NAME", value_parser = parse_token_name)]
    pub name: String,
    /// What it allows: read (status, certificates, notifications, rejections), operate (start
    /// and steer imports, mark notifications), records (raw text of rejected records), connect
    /// (hand over the tokens of shops).
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = parse_scope)]
    pub scopes: Vec<ApiScope>,
    /// The only shop that it sees (Salla's number).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// For how many days it counts; without it until it is revoked.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub days: Option<u16>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct RevokeTokenArgs {
    /// As `tokens list` shows it.
    #[arg(value_name = "ID")]
    pub id: Uuid,
}

fn parse_scope(text: &str) -> Result<ApiScope, String> {
    ApiScope::parse(text).ok_or_else(|| {
        let known = ApiScope::ALL.map(ApiScope::as_str);
        format!("give one of {}", known.join(", "))
    })
}

fn parse_token_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.is_empty() || text.len() > 200 {
        true => Err("give a name of at most 200 bytes".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new key and print it, once, on standard output.
    #[command(after_help = "Examples:\n  \
        salla-sync keys generate > /etc/salla-sync/new-key\n  \
        salla-sync keys generate --name k2\n\n\
        Put it in front of the former one: SALLA_SYNC_KEY=NEW,FORMER")]
    Generate(GenerateArgs),
    /// Seal everything again that a former key has sealed, while workers run.
    #[command(after_help = "Example:\n  \
        SALLA_SYNC_KEY=k2:…,k1:… DATABASE_URL=postgres://… salla-sync keys rotate\n\n\
        Before: every worker and server has the new key, first behind the former one and then\n\
        in front of it. May be interrupted and repeated.")]
    Rotate(JsonArgs),
    /// Say how many values each key seals, and which keys are needed.
    #[command(after_help = "Example:\n  salla-sync keys status --json")]
    Status(JsonArgs),
}

#[derive(Args, Clone, Debug)]
pub struct GenerateArgs {
    /// What to call it, instead of a name by chance: letters, digits, - and _.
    #[arg(long, value_name = "NAME", value_parser = parse_key_name)]
    pub name: Option<String>,
}

fn parse_key_name(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match (1..=64).contains(&text.len()) && text.chars().all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("give a name of letters, digits, - and _".to_owned()),
    }
}

#[derive(Clone, Debug, Subcommand)]
pub enum SessionsCommand {
    /// List merchants who have signed in, the latest first.
    #[command(after_help = "Example:\n  salla-sync sessions list --shop 1305146709")]
    List(ListSessionsArgs),
    /// End sessions now: one, or all of a shop.
    #[command(after_help = "Examples:\n  \
        salla-sync sessions revoke 0199d0a2-7c1e-7a11-8f00-000000000001\n  \
        salla-sync sessions revoke --shop 1305146709")]
    Revoke(RevokeSessionsArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ListSessionsArgs {
    /// Only those of this shop (Salla's number).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct RevokeSessionsArgs {
    /// As `sessions list` shows it.
    #[arg(value_name = "ID")]
    pub id: Option<Uuid>,
    /// All of this shop (Salla's number).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// List entries, the latest first.
    #[command(after_help = "Examples:\n  \
        salla-sync audit list --shop 1305146709\n  \
        salla-sync audit list --action session_copied --since 2026-01-01T00:00:00Z --json")]
    List(ListAuditArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ListAuditArgs {
    /// Only what concerns this shop (Salla's number).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Only this action, such as shop_connected.
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only from this moment on.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// At most N entries.
    #[arg(long, default_value_t = 50, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum RolesCommand {
    /// Make the roles and let the database itself keep merchants apart; may be repeated.
    #[command(after_help = "Examples:\n  \
        salla-sync roles create --login salla_sync\n  \
        salla-sync roles create --print | psql postgres://admin@db.example/salla")]
    Create(CreateRolesArgs),
    /// Say which roles are there, and which tables they secure.
    Status(JsonArgs),
}

#[derive(Args, Clone, Debug)]
pub struct CreateRolesArgs {
    /// The login of a worker or server: it may work as before, and act as the doors do.
    #[arg(long = "login", value_name = "NAME")]
    pub logins: Vec<String>,
    /// Only print the SQL, for somebody who may make roles.
    #[arg(long, conflicts_with = "logins")]
    pub print: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum CdcCommand {
    /// Publish the tables in the schema salla for readers of PostgreSQL's log. Raw records and
    /// everything else of salla-sync's own are left out. May be repeated, and has to be after
    /// an upgrade that brings tables.
    #[command(after_help = "Example:\n  salla-sync cdc enable --slot warehouse\n\n\
        A slot keeps the server's log until somebody reads it. Nobody reading for days fills\n\
        the disk: watch `salla-sync cdc status`, and drop what is not read.")]
    Enable(EnableCdcArgs),
    /// Show what is published, and how far the readers of each slot are behind.
    Status(JsonArgs),
    /// Drop the publication, and a slot if one is named.
    #[command(after_help = "Example:\n  salla-sync cdc disable --slot warehouse")]
    Disable(DisableCdcArgs),
}

#[derive(Args, Clone, Debug)]
pub struct EnableCdcArgs {
    /// Make a logical slot of this name (pgoutput) as well. Most readers make their own.
    #[arg(long, value_name = "NAME", value_parser = parse_slot)]
    pub slot: Option<String>,
    /// Log whole old rows with each change (REPLICA IDENTITY FULL), for readers that need what
    /// a row was before; the log grows by that.
    #[arg(long)]
    pub full_rows: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DisableCdcArgs {
    /// Drop the slot of this name as well. Its reader has to be stopped before.
    #[arg(long, value_name = "NAME", value_parser = parse_slot)]
    pub slot: Option<String>,
}

/// As PostgreSQL allows it.
fn parse_slot(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match (1..=63).contains(&text.len()) && text.chars().all(is_allowed) {
        true => Ok(text.to_owned()),
        false => Err("up to 63 small letters, digits and _".to_owned()),
    }
}

#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Salla's id of the customer.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub customer: i64,
    /// Whose customer it is (Salla's number of the shop); needed where several shops have one
    /// with this id.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Write to this new file, which nobody else may read, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct ForgetDataArgs {
    /// Salla's id of a customer.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..),
          required_unless_present_any = ["shop", "expired"])]
    pub customer: Option<i64>,
    /// A whole shop (Salla's number), or whose customer it is.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// All shops that removed the app longer ago than SALLA_SYNC_RETENTION.
    #[arg(long, conflicts_with_all = ["customer", "shop"])]
    pub expired: bool,
    /// Say what would be deleted, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
