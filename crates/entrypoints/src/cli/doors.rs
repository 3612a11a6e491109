//! Who has signed in over HTTP, and what was recorded of it: what can be typed.

use clap::{Args, Subcommand};
use jiff::Timestamp;

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
    pub id: Option<uuid::Uuid>,
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
