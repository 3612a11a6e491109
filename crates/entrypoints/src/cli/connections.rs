//! Shops' connections: what can be typed about them.

use clap::{Args, Subcommand};
use domain::contact::{EmailAddress, Language};

use super::{ConnectArgs, JsonArgs};

#[derive(Clone, Debug, Subcommand)]
pub enum ConnectionsCommand {
    /// Store a shop's tokens, encrypted, so that workers can import it; as `connect`, with what
    /// belongs to the connection.
    #[command(after_help = "Example:\n  \
        salla-sync connections add --tokens /etc/salla-sync/shop.json \\\n  \
        --tag tenant=42 --email owner@example.com --language ar")]
    Add(AddArgs),
    /// List shops with the state of their connection, never a token.
    List(JsonArgs),
    /// Show one shop's connection: state, mode, key, scopes, tags, never a token.
    #[command(after_help = "Example:\n  salla-sync connections show 1305146709")]
    Show(ShowConnectionArgs),
    /// Let the tokens of a shop, or of all shops, rest: they stay and nobody uses them, and open
    /// imports are paused. `adopt` ends it.
    #[command(after_help = "Examples:\n  \
        salla-sync connections park 1305146709\n  \
        salla-sync connections park --all --dry-run\n\n\
        Before a move, a restore or a copy for tests: what is parked refreshes nothing, wherever\n\
        the copy runs.")]
    Park(ParkArgs),
    /// Show or change whom e-mails about a shop reach.
    #[command(after_help = "Examples:\n  \
        salla-sync connections contact 1305146709\n  \
        salla-sync connections contact 1305146709 --email owner@example.com --language ar\n  \
        salla-sync connections contact 1305146709 --wants-email no")]
    Contact(ContactArgs),
    /// Overwrite all tokens of a shop and cancel its import, as if the app was removed. What was
    /// imported stays.
    #[command(after_help = "Example:\n  salla-sync connections forget --shop 1305146709")]
    Forget(ForgetArgs),
    /// Let this database refresh tokens that came here with a copy of another one (after a
    /// restore, a move or a failover) or that were parked.
    #[command(after_help = "Examples:\n  salla-sync connections adopt --dry-run\n  \
        salla-sync connections adopt --shop 1305146709\n\n\
        Before: make sure that nothing works with the original database any more. A token\n\
        that both refresh disconnects its shop.")]
    Adopt(AdoptArgs),
    /// Try the tokens of a shop once more that was given up as refresh_lost: nobody knows
    /// whether its refresh token was used.
    #[command(after_help = "Example:\n  salla-sync connections retry 1305146709\n\n\
        The token is presented one last time, once Salla refuses the access token. If it was\n\
        used before, by this database or by another one, Salla revokes what came of it: be\n\
        sure that nobody works with newer tokens of the shop. Never presented are tokens that\n\
        Salla has called dead, that are known to be used, or that had their last time.")]
    Retry(RetryArgs),
}

#[derive(Args, Clone, Debug)]
pub struct RetryArgs {
    /// Salla's number of the shop.
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
    /// A name and a value of your own, sent with each event about the connection; as often as
    /// needed, up to 20.
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = parse_tag)]
    pub tags: Vec<(String, String)>,
    /// Whom e-mails about the shop reach.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_email)]
    pub email: Option<EmailAddress>,
    /// In which language: ar or en.
    #[arg(long, value_name = "LANGUAGE", value_parser = parse_language)]
    pub language: Option<Language>,
}

#[derive(Args, Clone, Debug)]
pub struct ShowConnectionArgs {
    /// Salla's number of the shop.
    #[arg(value_name = "SHOP")]
    pub shop: i64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ParkArgs {
    /// Salla's number of the shop.
    #[arg(
        value_name = "SHOP",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub shop: Option<i64>,
    /// All shops.
    #[arg(long)]
    pub all: bool,
    /// Say which shops it would be, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ContactArgs {
    /// Salla's number of the shop.
    #[arg(value_name = "SHOP")]
    pub shop: i64,
    /// The address to write to. It stays, whatever Salla names when the shop connects again.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_email)]
    pub email: Option<EmailAddress>,
    /// There is no address to write to.
    #[arg(long, conflicts_with = "email")]
    pub no_email: bool,
    /// In which language: ar or en. Arabic if nobody has said.
    #[arg(long, value_name = "LANGUAGE", value_parser = parse_language)]
    pub language: Option<Language>,
    /// Whether e-mails are sent at all: yes or no.
    #[arg(long, value_name = "ANSWER", value_parser = parse_answer)]
    pub wants_email: Option<bool>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ForgetArgs {
    /// Salla's number of the shop, as `salla-sync status` shows it.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: i64,
}

#[derive(Args, Clone, Debug)]
pub struct AdoptArgs {
    /// Only those of this shop (Salla's number).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Say which shops it would be, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What was typed is not repeated: it may be somebody's address all the same.
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
