//! Commands about access, keys, roles, personal data and change data capture.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::JsonArgs;
use importer::ports::api_access::ApiScope;
use jiff::Timestamp;
use uuid::Uuid;

#[derive(Clone, Debug, Subcommand)]
pub enum TokensCommand {
    /// Create a token and print it, once.
    #[command(after_help = "Examples:\n  \
        salla-sync tokens create --name backend --scope read --scope operate\n  \
        salla-sync tokens create --name support --scope read --shop 1305146709 --days 90")]
    Create(CreateTokenArgs),
    /// List tokens, latest first, without their secrets.
    List(JsonArgs),
    /// Revoke a token immediately.
    #[command(after_help = "Example:\n  \
        salla-sync tokens revoke 0199d0a2-7c1e-7a11-8f00-000000000001")]
    Revoke(RevokeTokenArgs),
}

#[derive(Args, Clone, Debug)]
pub struct CreateTokenArgs {
    /// Name that says what the token is for, at most 200 bytes.
    #[arg(long, value_name = "NAME", value_parser = parse_token_name)]
    pub name: String,
    /// What the token allows: read, operate, records or connect; repeat it for several.
    ///
    /// read: status, certificates, notifications, rejections. operate: start and control imports,
    /// mark notifications. records: raw text of rejected records. connect: store the tokens of
    /// shops.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = parse_scope)]
    pub scopes: Vec<ApiScope>,
    /// Salla's id of the only shop that the token can access [default: all].
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Days until the token expires [default: never].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub days: Option<u16>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct RevokeTokenArgs {
    /// The token's id, as `tokens list` shows it.
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
    /// Generate a key and print it, once, on standard output.
    #[command(after_help = "Examples:\n  \
        salla-sync keys generate > /etc/salla-sync/new-key\n  \
        salla-sync keys generate --name k2\n\n\
        Put it before the former key: SALLA_SYNC_KEY=NEW,FORMER")]
    Generate(GenerateArgs),
    /// Encrypt with the first key everything that a former key encrypted.
    #[command(after_help = "Example:\n  \
        SALLA_SYNC_KEY=k2:…,k1:… DATABASE_URL=postgres://… salla-sync keys rotate\n\n\
        Before you run it, give every worker and server the new key, first after the former one and\n\
        then before it. Workers may keep running. You can interrupt and repeat it.")]
    Rotate(JsonArgs),
    /// Show how many values each key encrypts, and which keys are needed.
    #[command(after_help = "Example:\n  salla-sync keys status --json")]
    Status(JsonArgs),
}

#[derive(Args, Clone, Debug)]
pub struct GenerateArgs {
    /// Name of the key: letters, digits, - and _ [default: random].
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
    /// List the sessions of signed-in merchants, latest first.
    #[command(after_help = "Example:\n  salla-sync sessions list --shop 1305146709")]
    List(ListSessionsArgs),
    /// End sessions immediately: one, or all of a shop.
    #[command(after_help = "Examples:\n  \
        salla-sync sessions revoke 0199d0a2-7c1e-7a11-8f00-000000000001\n  \
        salla-sync sessions revoke --shop 1305146709")]
    Revoke(RevokeSessionsArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ListSessionsArgs {
    /// Only the sessions of this shop (Salla's id).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct RevokeSessionsArgs {
    /// The session's id, as `sessions list` shows it.
    #[arg(value_name = "ID")]
    pub id: Option<Uuid>,
    /// All sessions of this shop (Salla's id).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// List entries, latest first.
    #[command(after_help = "Examples:\n  \
        salla-sync audit list --shop 1305146709\n  \
        salla-sync audit list --action session_copied --since 2026-01-01T00:00:00Z --json")]
    List(ListAuditArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ListAuditArgs {
    /// Only entries about this shop (Salla's id).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Only this action, such as shop_connected.
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only from this time on, such as 2026-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// List at most N entries.
    #[arg(long, default_value_t = 50, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum RolesCommand {
    /// Create the roles and the row policies that keep merchants apart. Repeatable.
    #[command(after_help = "Examples:\n  \
        salla-sync roles create --login salla_sync\n  \
        salla-sync roles create --print | psql postgres://admin@db.example/salla")]
    Create(CreateRolesArgs),
    /// Show which roles exist, and which tables they secure.
    Status(JsonArgs),
}

#[derive(Args, Clone, Debug)]
pub struct CreateRolesArgs {
    /// Login of a worker or server, which gets the rights of the roles; repeatable.
    #[arg(long = "login", value_name = "NAME")]
    pub logins: Vec<String>,
    /// Only print the SQL, for someone who may create roles.
    #[arg(long, conflicts_with = "logins")]
    pub print: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum CdcCommand {
    /// Publish the tables of the schema salla for logical replication.
    ///
    /// Raw records and salla-sync's own tables are left out. Repeat it after an upgrade that adds
    /// tables.
    #[command(after_help = "Example:\n  salla-sync cdc enable --slot warehouse\n\n\
        A slot keeps the server's log until its reader has read it. A reader that stops for days\n\
        fills the disk: watch `salla-sync cdc status`, and drop slots without a reader.")]
    Enable(EnableCdcArgs),
    /// Show what is published, and how far each slot's reader is behind.
    Status(JsonArgs),
    /// Drop the publication, and a slot if you name one.
    #[command(after_help = "Example:\n  salla-sync cdc disable --slot warehouse")]
    Disable(DisableCdcArgs),
}

#[derive(Args, Clone, Debug)]
pub struct EnableCdcArgs {
    /// Also create a logical slot of this name (pgoutput); most readers create theirs.
    #[arg(long, value_name = "NAME", value_parser = parse_slot)]
    pub slot: Option<String>,
    /// Log the whole old row with each change (REPLICA IDENTITY FULL).
    ///
    /// For readers that need a row's former values; the log grows accordingly.
    #[arg(long)]
    pub full_rows: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DisableCdcArgs {
    /// Also drop the slot of this name. Stop its reader first.
    #[arg(long, value_name = "NAME", value_parser = parse_slot)]
    pub slot: Option<String>,
}

/// Slot names as PostgreSQL allows them.
fn parse_slot(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match (1..=63).contains(&text.len()) && text.chars().all(is_allowed) {
        true => Ok(text.to_owned()),
        false => Err("give up to 63 lowercase letters, digits and _".to_owned()),
    }
}

#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Salla's id of the customer.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub customer: i64,
    /// Salla's id of the shop; needed if several shops have a customer with this id.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Write to this new file, readable only by you, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct ForgetDataArgs {
    /// Salla's id of the customer to erase.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..),
          required_unless_present_any = ["shop", "expired"])]
    pub customer: Option<i64>,
    /// Salla's id of the shop to erase, or of the customer's shop.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Erase all shops that removed the app longer ago than SALLA_SYNC_RETENTION.
    #[arg(long, conflicts_with_all = ["customer", "shop"])]
    pub expired: bool,
    /// Show what would be deleted, without changing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
