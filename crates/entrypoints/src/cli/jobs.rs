//! Workers, runs and queues: what can be typed about imports in the background.

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
    /// Take the tokens from this file, `-` for standard input: the body of the webhook
    /// app.store.authorize, byte for byte as Salla sent it.
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    pub from_webhook: Option<PathBuf>,
    /// The X-Salla-Signature that came with it, to be checked with
    /// SALLA_WEBHOOK_SECRET.
    #[arg(long, value_name = "HEX", requires = "from_webhook")]
    pub signature: Option<String>,
    /// Take the body without its signature although SALLA_WEBHOOK_SECRET is set.
    #[arg(long, requires = "from_webhook", conflicts_with = "signature")]
    pub unsigned: bool,
}

#[derive(Args, Clone, Debug)]
pub struct WorkArgs {
    /// Imports at once. Each is bounded by Salla's limits for its shop, so many go side
    /// by side; what waits for a free place waits for a whole import.
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,

    /// Leave the rest of Salla's budget to the shops' other software.
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    pub budget_share: f64,

    /// Bring every connected shop whose history is there up to date once in this time, for
    /// example 1h or 30m: new, changed and deleted orders, customers and products. Each shop
    /// has its own moment in it.
    #[arg(long, env = "SALLA_SYNC_KEEP_FRESH", value_name = "TIME", value_parser = parse_period)]
    pub keep_fresh: Option<Duration>,

    /// Answer /metrics, /healthz and /readyz on this address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<std::net::SocketAddr>,

    /// Connections to PostgreSQL.
    #[arg(long, default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub connections: u32,
}

#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The address to serve on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: std::net::SocketAddr,

    /// Work on imports in this process too, as `work` does.
    #[arg(long)]
    pub with_worker: bool,

    /// What is imported when a shop connects: 12 or 24 months, or never.
    #[arg(long, default_value = "12", value_enum, value_name = "MONTHS")]
    pub import_on_connect: ImportOnConnect,

    /// Take tokens that may change a shop as well, where the app needs them for other work.
    #[arg(long)]
    pub allow_write_scopes: bool,

    /// Connect only shops that an account of the app has claimed; tokens of others wait,
    /// encrypted, for seven days.
    #[arg(long)]
    pub claimed_only: bool,

    /// Connections to PostgreSQL.
    #[arg(long, default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub connections: u32,

    /// With --with-worker: imports at once.
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,

    /// With --with-worker: leave the rest of Salla's budget to the shops' other software.
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    pub budget_share: f64,

    /// With --with-worker: bring every connected shop up to date once in this time, as `work`
    /// does.
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
    /// Start a shop's import, or join the one that is not over; where its history is there,
    /// read what has changed since.
    #[command(after_help = "Example:\n  salla-sync runs start --shop 1305146709 --months 24")]
    Start(StartArgs),
    /// List runs, the latest first.
    #[command(after_help = "Example:\n  salla-sync runs list --state failed")]
    List(ListArgs),
    /// Show one run: state, progress, worker, failure.
    Show(ShowArgs),
    /// Stop a run at its last commit until it is resumed.
    Pause(RunArgs),
    /// Go on with a paused run, or end the wait of a waiting one.
    Resume(RunArgs),
    /// Give a run up. What was read stays.
    Cancel(RunArgs),
    /// Begin a failed or cancelled run again from its checkpoint.
    Restart(RunArgs),
    /// Go further back than the finished imports did; what is there is not read again.
    #[command(after_help = "Example:\n  salla-sync runs extend --shop 1305146709 --months 24")]
    Extend(StartExtensionArgs),
}

#[derive(Args, Clone, Debug)]
pub struct StartArgs {
    /// Salla's number of the shop, as `salla-sync status` shows it.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: i64,
    /// How many months of orders: 12 or 24.
    #[arg(long, default_value = "12", value_parser = parse_depth)]
    pub months: u16,
    /// Read everything again although it is there, instead of what has changed since.
    #[arg(long)]
    pub again: bool,
    /// Read all customers and products again as well: Salla does not list their edits.
    #[arg(long, conflicts_with = "again")]
    pub refresh_lists: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct StartExtensionArgs {
    /// Salla's number of the shop, as `salla-sync status` shows it.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: i64,
    /// How many months of orders there should be afterwards: 12 or 24.
    #[arg(long, default_value = "24", value_parser = parse_depth)]
    pub months: u16,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Only runs of this shop (Salla's number).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Only runs in this state, e.g. failed or in_progress.
    #[arg(long, value_parser = parse_state)]
    pub state: Option<RunState>,
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
    /// The run's id, or Salla's number of a shop for its latest run.
    #[arg(value_name = "RUN")]
    pub run: String,
}

#[derive(Clone, Debug, Subcommand)]
pub enum NotificationsCommand {
    /// List what merchants were told in the app, the latest first.
    #[command(after_help = "Example:\n  \
        salla-sync notifications list --shop 1305146709 --unread")]
    List(InboxArgs),
    /// Mark notifications as read. What was read before stays as it is.
    #[command(after_help = "Example:\n  \
        salla-sync notifications read 0199d0a2-7c1e-7a11-8f00-000000000001")]
    Read(ReadArgs),
}

#[derive(Args, Clone, Debug)]
pub struct InboxArgs {
    /// Only of this shop (Salla's number).
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Only what the merchant has not read.
    #[arg(long)]
    pub unread: bool,
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ReadArgs {
    /// As `notifications list` shows them.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<uuid::Uuid>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum QueueCommand {
    /// How many messages there are, and for how long the oldest has been ready.
    Depth(JsonArgs),
    /// List dead letters: messages that were given up on.
    #[command(after_help = "Example:\n  salla-sync queue dead --queue notifications")]
    Dead(DeadArgs),
    /// Show one dead letter with its body, which holds ids only.
    Show(LetterArgs),
    /// Put dead letters back on their queue. A run that ended FAILED is restarted; the
    /// letter of one that is over otherwise stays.
    #[command(after_help = "Examples:\n  \
        salla-sync queue redrive 0199d0a2-7c1e-7a11-8f00-000000000001\n  \
        salla-sync queue redrive --all --queue notifications")]
    Redrive(RedriveArgs),
    /// Delete a dead letter for good.
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
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct LetterArgs {
    /// As `queue dead` shows it.
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Args, Clone, Debug)]
pub struct RedriveArgs {
    /// As `queue dead` shows it.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub id: Option<String>,
    /// All that there are.
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

/// Less would ask Salla for what cannot have changed much, at a dozen requests each time.
const SHORTEST_PERIOD: Duration = Duration::from_secs(60);

fn parse_period(text: &str) -> Result<Duration, String> {
    let period = text.parse::<jiff::SignedDuration>().ok();
    period
        .and_then(|period| Duration::try_from(period).ok())
        .filter(|period| *period >= SHORTEST_PERIOD)
        .ok_or_else(|| "give a time of at least a minute, such as 30m, 1h or 24h".to_owned())
}
