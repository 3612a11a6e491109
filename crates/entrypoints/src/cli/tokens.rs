//! Tokens of the HTTP API: what can be typed about them.

use clap::{Args, Subcommand};
use importer::ports::api_tokens::ApiScope;

#[derive(Clone, Debug, Subcommand)]
pub enum TokensCommand {
    /// Make a token and show it, once.
    #[command(after_help = "Examples:\n  \
        salla-sync tokens create --name backend --scope read --scope operate\n  \
        salla-sync tokens create --name support --scope read --shop 1305146709 --days 90")]
    Create(CreateTokenArgs),
    /// List tokens, the latest first, without the tokens themselves.
    List(ListTokensArgs),
    /// End a token now.
    #[command(after_help = "Example:\n  \
        salla-sync tokens revoke 0199d0a2-7c1e-7a11-8f00-000000000001")]
    Revoke(RevokeTokenArgs),
}

#[derive(Args, Clone, Debug)]
pub struct CreateTokenArgs {
    /// What it is for.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
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
pub struct ListTokensArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct RevokeTokenArgs {
    /// As `tokens list` shows it.
    #[arg(value_name = "ID")]
    pub id: uuid::Uuid,
}

fn parse_scope(text: &str) -> Result<ApiScope, String> {
    ApiScope::parse(text).ok_or_else(|| {
        let known = ApiScope::ALL.map(ApiScope::as_str);
        format!("give one of {}", known.join(", "))
    })
}

fn parse_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.is_empty() || text.len() > 200 {
        true => Err("give a name of at most 200 bytes".to_owned()),
        false => Ok(text.to_owned()),
    }
}
