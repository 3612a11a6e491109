//! Commands about shops' connections.

use clap::{Args, Subcommand};
use domain::contact::{EmailAddress, Language};

use super::{ConnectArgs, JsonArgs};

#[derive(Clone, Debug, Subcommand)]
pub enum ConnectionsCommand {
    /// Store a shop's tokens like `connect`, with tags and a contact.
    #[command(after_help = "Example:\n  \
        salla-sync connections add --tokens /etc/salla-sync/shop.json \\\n  \
        --tag tenant=42 --email owner@example.com --language ar")]
    Add(AddArgs),
    /// List shops with the state of their connection, without tokens.
    List(JsonArgs),
    /// Show one shop's connection: state, mode, key, scopes and tags, without tokens.
    #[command(after_help = "Example:\n  salla-sync connections show 1305146709")]
    Show(ShowConnectionArgs),
    /// Suspend the tokens of a shop, or of all shops.
    ///
    /// They stay stored and are not used, and open imports are paused. `connections adopt` ends it.
    #[command(after_help = "Examples:\n  \
        salla-sync connections park 1305146709\n  \
        salla-sync connections park --all --dry-run\n\n\
        Use it before a move, a restore or a copy for tests: parked tokens are not refreshed,\n\
        wherever the copy runs.")]
    Park(ParkArgs),
    /// Show or change who gets e-mails about a shop.
    #[command(after_help = "Examples:\n  \
        salla-sync connections contact 1305146709\n  \
        salla-sync connections contact 1305146709 --email owner@example.com --language ar\n  \
        salla-sync connections contact 1305146709 --wants-email no")]
    Contact(ContactArgs),
    /// Overwrite a shop's tokens and cancel its import, as if the app was removed.
    ///
    /// What was imported stays.
    #[command(after_help = "Example:\n  salla-sync connections forget --shop 1305146709")]
    Forget(ForgetArgs),
    /// Let this database refresh tokens that were parked or copied from another one.
    ///
    /// Tokens are copied with the database by a restore, a move or a failover.
    #[command(after_help = "Examples:\n  salla-sync connections adopt --dry-run\n  \
        salla-sync connections adopt --shop 1305146709\n\n\
        First make sure that no process uses the original database any more. If both databases\n\
        refresh a token, its shop is disconnected.")]
    Adopt(AdoptArgs),
    /// Present a refresh token once more after its last response was lost (refresh_lost).
    #[command(after_help = "Example:\n  salla-sync connections retry 1305146709\n\n\
        The token is presented one last time, when Salla refuses the access token. If this database\n\
        or another one has used it already, Salla also revokes the tokens it was exchanged for:\n\
        make sure that no software uses newer tokens of the shop. A token that Salla has refused,\n\
        that is known to be used, or that was already retried is never presented.")]
    Retry(RetryArgs),
}

#[derive(Args, Clone, Debug)]
pub struct RetryArgs {
    /// Salla's id of the shop.
    #[arg(value_name = "SHOP")]
    pub shop: i64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct AddArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Your own name and value, sent with each event about the connection; up to 20.
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = parse_tag)]
    pub tags: Vec<(String, String)>,
    /// Address for e-mails about the shop.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_email)]
    pub email: Option<EmailAddress>,
    /// Language of the e-mails: ar or en.
    #[arg(long, value_name = "LANGUAGE", value_parser = parse_language)]
    pub language: Option<Language>,
}

#[derive(Args, Clone, Debug)]
pub struct ShowConnectionArgs {
    /// Salla's id of the shop.
    #[arg(value_name = "SHOP")]
    pub shop: i64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ParkArgs {
    /// Salla's id of the shop.
    #[arg(
        value_name = "SHOP",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub shop: Option<i64>,
    /// All shops.
    #[arg(long)]
    pub all: bool,
    /// Show which shops it would change, without changing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ContactArgs {
    /// Salla's id of the shop.
    #[arg(value_name = "SHOP")]
    pub shop: i64,
    /// Address for e-mails; kept when the shop reconnects with another one at Salla.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_email)]
    pub email: Option<EmailAddress>,
    /// Remove the address.
    #[arg(long, conflicts_with = "email")]
    pub no_email: bool,
    /// Language of the e-mails, ar or en; Arabic if it was never set.
    #[arg(long, value_name = "LANGUAGE", value_parser = parse_language)]
    pub language: Option<Language>,
    /// Whether to send e-mails: yes or no.
    #[arg(long, value_name = "ANSWER", value_parser = parse_answer)]
    pub wants_email: Option<bool>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ForgetArgs {
    /// Salla's id of the shop, as `salla-sync status` shows it.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: i64,
}

#[derive(Args, Clone, Debug)]
pub struct AdoptArgs {
    /// Only the tokens of this shop (Salla's id).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Show which shops it would change, without changing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The error does not repeat the input, which may still be an e-mail address.
fn parse_email(text: &str) -> Result<EmailAddress, String> {
    EmailAddress::parse(text).ok_or_else(|| "give an address such as name@example.com".to_owned())
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| "give NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_language(text: &str) -> Result<Language, String> {
    Language::parse(text).ok_or_else(|| "give ar or en".to_owned())
}

fn parse_answer(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("give yes or no".to_owned()),
    }
}
