//! Commands about imports in the background: workers, runs and queues.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use domain::run::RunState;
use importer::ports::claims::SyncDepth;
use importer::ports::queue::QueueName;

use super::{JsonArgs, TokenArgs, parse_share};

#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    #[command(flatten)]
    pub tokens: TokenArgs,
    #[command(flatten)]
    pub webhook: WebhookArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct WebhookArgs {
    /// Read the tokens from the body of a webhook in this file; `-` is standard input.
    ///
    /// The webhook is app.store.authorize, byte for byte as Salla sent it.
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    pub from_webhook: Option<PathBuf>,
    /// The webhook's X-Salla-Signature, which is checked with SALLA_WEBHOOK_SECRET.
    #[arg(long, value_name = "HEX", requires = "from_webhook")]
    pub signature: Option<String>,
    /// Accept the body without its signature although SALLA_WEBHOOK_SECRET is set.
    #[arg(long, requires = "from_webhook", conflicts_with = "signature")]
    pub unsigned: bool,
}

#[derive(Args, Clone, Debug)]
pub struct WorkArgs {
    /// Maximum number of concurrent imports.
    ///
    /// Salla limits each shop separately, so a worker can run many. An import above this number
    /// waits until another one ends.
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,

    /// Use this share of Salla's rate limit; leave the rest to other apps.
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    pub budget_share: f64,

    /// Bring every imported shop up to date once in this time, such as 1h or 30m.
    ///
    /// It fetches new, changed and deleted orders, customers and products. The shops are
    /// spread over the time.
    #[arg(long, env = "SALLA_SYNC_KEEP_FRESH", value_name = "TIME", value_parser = parse_period)]
    pub keep_fresh: Option<Duration>,

    /// Serve /metrics, /healthz and /readyz on this address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<std::net::SocketAddr>,

    /// Maximum number of connections to PostgreSQL.
    #[arg(long, default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub connections: u32,
}

#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: std::net::SocketAddr,

    /// Also run imports in this process, as `work` does.
    #[arg(long)]
    pub with_worker: bool,

    /// Months of orders to import when a shop connects: 12, 24 or never.
    #[arg(long, default_value = "12", value_enum, value_name = "MONTHS")]
    pub import_on_connect: ImportOnConnect,

    /// Accept tokens that can change a shop, if the app needs them for other work.
    #[arg(long)]
    pub allow_write_scopes: bool,

    /// Connect only shops that an account of the app has claimed.
    ///
    /// The tokens of other shops are stored, encrypted, for seven days.
    #[arg(long)]
    pub claimed_only: bool,

    /// Maximum number of connections to PostgreSQL.
    #[arg(long, default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub connections: u32,

    /// With --with-worker: maximum number of concurrent imports.
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,

    /// With --with-worker: use this share of Salla's rate limit.
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    pub budget_share: f64,

    /// With --with-worker: bring every imported shop up to date once in this time.
    #[arg(long, env = "SALLA_SYNC_KEEP_FRESH", value_name = "TIME", value_parser = parse_period)]
    pub keep_fresh: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportOnConnect {
    #[value(name = "12")]
    Months12,
    #[value(name = "24")]
    Months24,
    Never,
}

impl ImportOnConnect {
    pub fn depth(self) -> Option<SyncDepth> {
        match self {
            Self::Months12 => Some(SyncDepth::Months12),
            Self::Months24 => Some(SyncDepth::Months24),
            Self::Never => None,
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
pub enum RunsCommand {
    /// Start a shop's import, or show the one that is open.
    ///
    /// After a complete import, only what has changed since is fetched.
    #[command(after_help = "Example:\n  salla-sync runs start --shop 1305146709 --months 24")]
    Start(StartArgs),
    /// List runs, latest first.
    #[command(after_help = "Example:\n  salla-sync runs list --state failed")]
    List(ListArgs),
    /// Show one run: state, progress, worker and failure.
    Show(ShowArgs),
    /// Stop a run at its last commit until it is resumed.
    Pause(RunArgs),
    /// Resume a paused run, or end the wait of a waiting one.
    Resume(RunArgs),
    /// Cancel a run. What it imported stays.
    Cancel(RunArgs),
    /// Restart a failed or cancelled run from its checkpoint.
    Restart(RunArgs),
    /// Import older orders than the earlier imports did.
    ///
    /// Imported days are not fetched again.
    #[command(after_help = "Example:\n  salla-sync runs extend --shop 1305146709 --months 24")]
    Extend(StartExtensionArgs),
}

#[derive(Args, Clone, Debug)]
pub struct StartArgs {
    /// Salla's id of the shop, as `salla-sync status` shows it.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: i64,
    /// Months of orders to import: 12 or 24.
    #[arg(long, default_value = "12", value_parser = parse_depth)]
    pub months: u16,
    /// Fetch everything again, instead of what has changed since.
    #[arg(long)]
    pub again: bool,
    /// Fetch all customers and products again as well: Salla does not list their edits.
    #[arg(long, conflicts_with = "again")]
    pub refresh_lists: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct StartExtensionArgs {
    /// Salla's id of the shop, as `salla-sync status` shows it.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: i64,
    /// Months of orders to have afterwards: 12 or 24.
    #[arg(long, default_value = "24", value_parser = parse_depth)]
    pub months: u16,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Only runs of this shop (Salla's id).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Only runs in this state, such as failed or in_progress.
    #[arg(long, value_parser = parse_state)]
    pub state: Option<RunState>,
    /// List at most N runs.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The run's id, or Salla's id of a shop for its latest run.
    #[arg(value_name = "RUN")]
    pub run: String,
}

#[derive(Clone, Debug, Subcommand)]
pub enum NotificationsCommand {
    /// List notifications, latest first.
    #[command(after_help = "Example:\n  \
        salla-sync notifications list --shop 1305146709 --unread")]
    List(InboxArgs),
    /// Mark notifications as read. Those already read keep their time.
    #[command(after_help = "Example:\n  \
        salla-sync notifications read 0199d0a2-7c1e-7a11-8f00-000000000001")]
    Read(ReadArgs),
}

#[derive(Args, Clone, Debug)]
pub struct InboxArgs {
    /// Only notifications of this shop (Salla's id).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Only unread notifications.
    #[arg(long)]
    pub unread: bool,
    /// List at most N notifications.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ReadArgs {
    /// Ids of notifications, as `notifications list` shows them.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<uuid::Uuid>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum QueueCommand {
    /// Show how many messages wait, and how long the oldest has been ready.
    Depth(JsonArgs),
    /// List dead letters: messages that need a person.
    #[command(after_help = "Example:\n  salla-sync queue dead --queue notifications")]
    Dead(DeadArgs),
    /// Show one dead letter with its body, which contains ids only.
    Show(LetterArgs),
    /// Put dead letters back on their queue.
    ///
    /// A run that ended FAILED is restarted. The dead letter of a run that ended otherwise stays.
    #[command(after_help = "Examples:\n  \
        salla-sync queue redrive 0199d0a2-7c1e-7a11-8f00-000000000001\n  \
        salla-sync queue redrive --all --queue notifications")]
    Redrive(RedriveArgs),
    /// Delete a dead letter permanently.
    Discard(LetterArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueueArg {
    HistoricalSync,
    Notifications,
}

impl QueueArg {
    pub fn name(self) -> QueueName {
        match self {
            Self::HistoricalSync => QueueName::HistoricalSync,
            Self::Notifications => QueueName::Notifications,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct DeadArgs {
    /// Only this queue.
    #[arg(long, value_enum)]
    pub queue: Option<QueueArg>,
    /// List at most N dead letters.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct LetterArgs {
    /// Id of the dead letter, as `queue dead` shows it.
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Args, Clone, Debug)]
pub struct RedriveArgs {
    /// Id of the dead letter, as `queue dead` shows it.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub id: Option<String>,
    /// Redrive all dead letters.
    #[arg(long)]
    pub all: bool,
    /// Only this queue.
    #[arg(long, value_enum)]
    pub queue: Option<QueueArg>,
}

fn parse_depth(text: &str) -> Result<u16, String> {
    match text {
        "12" => Ok(12),
        "24" => Ok(24),
        _ => Err("give 12 or 24".to_owned()),
    }
}

fn parse_state(text: &str) -> Result<RunState, String> {
    let name = text.to_uppercase().replace('-', "_");
    RunState::parse(&name).ok_or_else(|| {
        let known = RunState::ALL.map(|state| state.as_str().to_lowercase());
        format!("give one of {}", known.join(", "))
    })
}

/// A shorter period would spend a dozen requests each time on what can hardly have changed.
const SHORTEST_PERIOD: Duration = Duration::from_secs(60);

pub(crate) fn parse_period(text: &str) -> Result<Duration, String> {
    let period = text.parse::<jiff::SignedDuration>().ok();
    period
        .and_then(|period| Duration::try_from(period).ok())
        .filter(|period| *period >= SHORTEST_PERIOD)
        .ok_or_else(|| "give a time of at least a minute, such as 30m, 1h or 24h".to_owned())
}
