//! The command line: commands, flags and an example for each. The comments are the help text.

mod admin;
mod connections;
mod jobs;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use admin::{
    AuditCommand, CdcCommand, CreateRolesArgs, CreateTokenArgs, DisableCdcArgs, EnableCdcArgs,
    ExportArgs, ForgetDataArgs, GenerateArgs, KeysCommand, ListAuditArgs, ListSessionsArgs,
    RevokeSessionsArgs, RevokeTokenArgs, RolesCommand, SessionsCommand, TokensCommand,
};
pub use connections::{
    AddArgs, AdoptArgs, ConnectionsCommand, ContactArgs, ForgetArgs, ParkArgs, RetryArgs,
    ShowConnectionArgs,
};
pub use jobs::{
    ConnectArgs, DeadArgs, InboxArgs, LetterArgs, ListArgs, NotificationsCommand, QueueCommand,
    ReadArgs, RedriveArgs, RunArgs, RunsCommand, ServeArgs, ShowArgs, StartArgs,
    StartExtensionArgs, WebhookArgs, WorkArgs,
};

pub(crate) use jobs::parse_period;

#[derive(Debug, Parser)]
#[command(
    name = "salla-sync",
    version,
    about = "Import a Salla shop's orders, customers and products into PostgreSQL, with proof",
    after_help = EXIT_CODES
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

pub const EXIT_CODES: &str = "\
Exit codes:
  0  done: everything that was requested is in the database
  1  the import ended FAILED, or the command failed
  2  invalid usage or settings
  3  interrupted: run the same command again to resume from the checkpoint
  4  another process is importing this shop, or the import is paused or cancelled
  130  stopped immediately by a second Ctrl-C";

#[derive(Args, Debug)]
pub struct Global {
    /// Format of the log lines on standard error.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "SALLA_SYNC_LOG_FORMAT"
    )]
    pub log_format: LogFormat,

    /// Log filter: a level such as `info`, or `salla_client=debug` for one part.
    #[arg(long, global = true, default_value = "warn", env = "SALLA_SYNC_LOG")]
    pub log: String,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// Start and use a private PostgreSQL instead of DATABASE_URL.
    #[arg(long, global = true)]
    pub embedded: bool,

    /// Folder of the private PostgreSQL and its key [default: ~/.local/share/salla-sync].
    #[arg(long, global = true, env = "SALLA_SYNC_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import a simulated shop into a private PostgreSQL, without account or setup.
    #[cfg(feature = "demo")]
    #[command(after_help = "Example:\n  salla-sync demo --orders 20000")]
    Demo(DemoArgs),

    /// Import a shop's history, resume its import, or bring it up to date.
    ///
    /// An interrupted import resumes from its checkpoint. After a complete one, only what has
    /// changed since is fetched.
    #[command(after_help = "Example:\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync import --months 12\n\n\
        Run the same command again to keep the shop up to date, for example from cron:\n  \
        0 * * * *  salla-sync import --months 12 --tokens /etc/salla-sync/tokens.json\n\n\
        For a first test:\n  \
        SALLA_ACCESS_TOKEN=… salla-sync import --embedded --max-orders 200")]
    Import(ImportArgs),

    /// Import older orders than your earlier imports did.
    ///
    /// Imported days are not fetched again, except for what has changed since.
    #[command(after_help = "Example:\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync extend --months 24")]
    Extend(ExtendArgs),

    /// Fetch part of a shop again: the orders of some days, or another resource.
    #[command(after_help = "Examples:\n  \
        salla-sync resync --resource orders --from 2026-01-01 --to 2026-01-31\n  \
        salla-sync resync --resource products")]
    Resync(ResyncArgs),

    /// Estimate what an import would fetch and how long Salla's limits make it take.
    #[command(after_help = "Example:\n  SALLA_ACCESS_TOKEN=… salla-sync plan --months 24")]
    Plan(PlanArgs),

    /// Show the imports in this database.
    #[command(after_help = "Example:\n  DATABASE_URL=postgres://… salla-sync status --json")]
    Status(StatusArgs),

    /// List rejected records with the reason, or replay them.
    #[command(after_help = "Example:\n  \
        DATABASE_URL=postgres://… salla-sync rejected --code invalid_date --limit 20\n\n\
        After an update of salla-sync that can read more:\n  \
        DATABASE_URL=postgres://… salla-sync rejected replay")]
    Rejected(RejectedArgs),

    /// Show where one record is, and why.
    ///
    /// It is loaded, rejected, deleted at Salla, outside the imported days, or unknown.
    #[command(after_help = "Examples:\n  \
        DATABASE_URL=postgres://… salla-sync trace 1027339291\n  \
        SALLA_ACCESS_TOKEN=… salla-sync trace 45012 --fetch\n\n\
        Exit code 0: the record is known; 1: it is unknown.")]
    Trace(TraceArgs),

    /// Compare the database with Salla, without changing anything.
    #[command(after_help = "Examples:\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync verify\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync verify --deep --sample 200\n\n\
        Exit code 0: equal, except for what was added or deleted since the import;\n\
        1: records are missing from the database, or an order differs.")]
    Verify(VerifyArgs),

    /// Report how Salla's API behaves for this shop.
    ///
    /// The report contains no secrets and no personal data, so you can share it.
    #[command(after_help = "Examples:\n  \
        SALLA_ACCESS_TOKEN=… salla-sync probe\n  \
        SALLA_ACCESS_TOKEN=… salla-sync probe --json --out report.json\n\n\
        It only reads, needs no database, and first prints how many requests it will make.")]
    Probe(ProbeArgs),

    /// Read all stored raw records again, without requests to Salla.
    ///
    /// Use it after an update of salla-sync that reads them differently.
    #[command(after_help = "Example:\n  \
        DATABASE_URL=postgres://… salla-sync remap --resource products")]
    Remap(RemapArgs),

    /// Store a shop's tokens, encrypted, so that workers can import it.
    #[command(after_help = "Examples:\n  \
        SALLA_ACCESS_TOKEN=… SALLA_REFRESH_TOKEN=… SALLA_CLIENT_ID=… SALLA_CLIENT_SECRET=… \\\n  \
        SALLA_SYNC_KEY=… DATABASE_URL=postgres://… salla-sync connect\n\n  \
        SALLA_WEBHOOK_SECRET=… SALLA_CLIENT_ID=… SALLA_CLIENT_SECRET=… SALLA_SYNC_KEY=… \\\n  \
        DATABASE_URL=postgres://… salla-sync connect --from-webhook BODY --signature HEX")]
    Connect(ConnectArgs),

    /// Run imports in the background until stopped.
    #[command(after_help = "Example:\n  \
        SALLA_CLIENT_ID=… SALLA_CLIENT_SECRET=… SALLA_SYNC_KEY=… DATABASE_URL=postgres://… \\\n  \
        salla-sync work --log info --log-format json\n\n\
        SIGTERM or Ctrl-C stops it at a commit and releases its runs to other workers. Any number of\n\
        workers may share a database.")]
    Work(WorkArgs),

    /// Serve HTTP: merchants who connect shops, Salla's webhooks, and the API.
    #[command(after_help = "Example:\n  \
        SALLA_CLIENT_ID=… SALLA_CLIENT_SECRET=… SALLA_WEBHOOK_SECRET=… SALLA_SYNC_KEY=… \\\n  \
        SALLA_SYNC_PUBLIC_URL=https://sync.example.com DATABASE_URL=postgres://… \\\n  \
        salla-sync serve --with-worker\n\n\
        It serves plain HTTP: put a proxy in front of it for TLS. SIGTERM or Ctrl-C stops it after\n\
        the open requests.")]
    Serve(ServeArgs),

    /// Start, show, pause, resume, cancel, restart and extend background imports.
    #[command(subcommand)]
    Runs(RunsCommand),

    /// Show the queues; list, redrive and discard dead letters.
    #[command(subcommand)]
    Queue(QueueCommand),

    /// List the notifications that merchants see in the app, and mark them as read.
    #[command(subcommand)]
    Notifications(NotificationsCommand),

    /// Publish the imported data for logical replication (change data capture).
    #[command(subcommand)]
    Cdc(CdcCommand),

    /// Manage shops' connections: their tokens, tags and contacts.
    #[command(subcommand)]
    Connections(ConnectionsCommand),

    /// Generate and rotate the keys that encrypt tokens, and show their use.
    #[command(subcommand)]
    Keys(KeysCommand),

    /// Create, list and revoke tokens of the HTTP API.
    #[command(subcommand)]
    Tokens(TokensCommand),

    /// List and end the sessions of merchants who signed in over HTTP.
    #[command(subcommand)]
    Sessions(SessionsCommand),

    /// Show the audit log: who did what, where it matters for security or privacy.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Create the database roles that keep merchants' rows apart.
    #[command(subcommand)]
    Roles(RolesCommand),

    /// Export everything that is stored about a customer, as JSON.
    #[command(after_help = "Example:\n  \
        DATABASE_URL=postgres://… salla-sync export --customer 1227534533 --shop 1305146709 \\\n  \
        --out customer.json\n\n\
        Rows, raw records, rejected records, notifications and dead letters.")]
    Export(ExportArgs),

    /// Erase a customer, or everything of a shop, permanently.
    #[command(after_help = "Examples:\n  \
        salla-sync forget --customer 1227534533 --shop 1305146709 --dry-run\n  \
        salla-sync forget --shop 1305146709\n  \
        salla-sync forget --expired --dry-run\n\n\
        Later imports do not bring an erased customer back; orders stay with their amounts.\n\
        If an import of the shop is running, nothing is changed and the exit code is 4.")]
    Forget(ForgetDataArgs),

    /// Create or upgrade salla-sync's tables.
    #[command(after_help = "Example:\n  DATABASE_URL=postgres://… salla-sync migrate")]
    Migrate(MigrateArgs),

    /// Check settings, database and clock; with a token, also Salla and the scopes.
    #[command(after_help = "Example:\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync doctor")]
    Doctor(DoctorArgs),

    /// Open psql on salla-sync's database.
    #[command(after_help = "Example:\n  \
        salla-sync psql --embedded -- -c 'select * from salla.daily_sales limit 5'")]
    Psql(PsqlArgs),
}

#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// Read the tokens from this file; `-` is standard input.
    ///
    /// It holds the access token alone, or JSON with access_token and refresh_token. Without it the
    /// tokens come from SALLA_ACCESS_TOKEN and SALLA_REFRESH_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct Depth {
    /// Months of orders to import, 1 to 120. Customers and products are imported whole.
    #[arg(long, default_value = "12", value_parser = parse_months)]
    pub months: u16,

    /// For a first test: import at most N orders (the newest), customers and products.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_orders: Option<u64>,

    /// Use this share of Salla's rate limit; leave the rest to other apps.
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    pub budget_share: f64,
}

#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    #[command(flatten)]
    pub depth: Depth,
    #[command(flatten)]
    pub tokens: TokenArgs,

    /// Fetch everything again, instead of what has changed since.
    #[arg(long)]
    pub again: bool,

    /// Fetch all customers and products again as well.
    ///
    /// Salla does not list their edits. New and deleted ones are found without this.
    #[arg(long, conflicts_with = "again")]
    pub refresh_lists: bool,

    /// Do not store Salla's raw records beside the rows.
    #[arg(long)]
    pub no_raw: bool,

    /// Fail if more than this share of a resource is rejected for one reason.
    #[arg(long, default_value = "5%", value_parser = parse_share, value_name = "SHARE")]
    pub rejection_share: f64,

    #[command(flatten)]
    pub waiting: WaitArgs,

    /// Print the certificate as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Flags of commands that only have `--json`.
#[derive(Args, Clone, Debug)]
pub struct JsonArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct WaitArgs {
    /// Exit with code 4 if another process is importing this shop.
    ///
    /// Without it, the command waits for the lease of a process that is gone to expire, a minute at
    /// most. If that process ran on this machine, its import is taken over immediately.
    #[arg(long)]
    pub no_wait: bool,
}

// What `extend` and `resync` have in common. (A documentation comment would replace theirs in
// --help.)
#[derive(Args, Clone, Debug)]
pub struct PartArgs {
    #[command(flatten)]
    pub tokens: TokenArgs,

    /// Use this share of Salla's rate limit; leave the rest to other apps.
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    pub budget_share: f64,

    /// Do not store Salla's raw records beside the rows.
    #[arg(long)]
    pub no_raw: bool,

    #[command(flatten)]
    pub waiting: WaitArgs,

    /// Print the certificate as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ExtendArgs {
    /// Months of orders to have afterwards, 1 to 120.
    #[arg(long, default_value = "24", value_parser = parse_months)]
    pub months: u16,
    #[command(flatten)]
    pub part: PartArgs,
}

#[derive(Args, Clone, Debug)]
pub struct ResyncArgs {
    /// The resource: orders, customers, products, categories or order_statuses.
    #[arg(long)]
    pub resource: String,

    /// First day of the orders, in Riyadh, such as 2026-01-31.
    #[arg(long, value_name = "DAY")]
    pub from: Option<jiff::civil::Date>,

    /// Last day of the orders, in Riyadh, such as 2026-01-31.
    #[arg(long, value_name = "DAY")]
    pub to: Option<jiff::civil::Date>,
    #[command(flatten)]
    pub part: PartArgs,
}

#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    pub depth: Depth,
    /// Also estimate the cost on AWS.
    ///
    /// It is given as invocations, GB-seconds, requests to SQS and traffic through NAT.
    #[arg(long)]
    pub aws: bool,
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Also show the latest certificate of each shop.
    #[arg(long)]
    pub certificate: bool,
}

#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RejectedArgs {
    #[command(subcommand)]
    pub action: Option<RejectedAction>,
    /// Only this resource: orders, customers, products, categories or
    /// order_statuses.
    #[arg(long)]
    pub resource: Option<String>,
    /// Only this reason, such as invalid_date.
    #[arg(long)]
    pub code: Option<String>,
    /// List at most N records.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Also print the raw records. They contain personal data.
    #[arg(long)]
    pub raw: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum RejectedAction {
    /// Read rejected records again, without requests to Salla.
    ///
    /// Those that can be read now are loaded.
    #[command(after_help = "Example:\n  \
        DATABASE_URL=postgres://… salla-sync rejected replay --code invalid_date\n\n\
        Shops that are being imported are left unchanged, and the exit code is 4.")]
    Replay(ReplayArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Only this resource: orders, customers, products, categories or
    /// order_statuses.
    #[arg(long)]
    pub resource: Option<String>,
    /// Only this reason, such as invalid_date.
    #[arg(long)]
    pub code: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Salla's id of the record, or the order number that customers see.
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub number: i64,
    /// The resource: orders, customers, products, categories or order_statuses.
    #[arg(long, default_value = "orders")]
    pub resource: String,
    /// Also fetch the record from Salla, with one or two requests. Nothing is stored.
    #[arg(long)]
    pub fetch: bool,
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// Also compare a sample of orders field by field, with one or two requests each.
    #[arg(long)]
    pub deep: bool,
    /// Number of orders in the sample.
    #[arg(long, default_value_t = 20, value_name = "N", requires = "deep",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: u32,
    /// Seed of the random sample: the same seed draws the same orders.
    #[arg(long, default_value_t = 1, value_name = "N", requires = "deep")]
    pub seed: u64,
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// Write the report to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct RemapArgs {
    /// Only this resource: orders, customers, products, categories or
    /// order_statuses.
    #[arg(long)]
    pub resource: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// Show what would be done, without changing anything.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct PsqlArgs {
    /// Arguments for psql, after `--`.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

#[cfg(feature = "demo")]
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Number of simulated orders.
    #[arg(long, default_value_t = 12_000, value_name = "N")]
    pub orders: u64,
    /// Factor by which the simulator runs faster than real time.
    ///
    /// Salla's limits count per minute; a minute of the simulator takes 60 s divided by this.
    #[arg(long, default_value_t = 8.0, value_name = "FACTOR")]
    pub speed: f64,
    /// Seed of the simulated shop: the same seed makes the same shop.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Age of the simulated app, which decides how line items are fetched.
    #[arg(long, value_enum, default_value = "old")]
    pub app: DemoApp,
    /// Print the certificate as JSON.
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "demo")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoApp {
    /// Created before 2024-08-15: lists contain whole orders.
    Old,
    /// One more request for each order.
    Details,
    /// Two more requests for each order.
    New,
}

fn parse_months(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(months @ 1..=120) => Ok(months),
        _ => Err("give a number of months from 1 to 120".to_owned()),
    }
}

/// `60%` or `0.6`, above 0 and at most 1.
fn parse_share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|p| p / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("give a share like 60% or 0.6, above 0 and at most 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn shares_are_percentages_or_fractions() {
        let table = [
            ("60%", Some(0.6)),
            ("0.6", Some(0.6)),
            ("100%", Some(1.0)),
            ("1", Some(1.0)),
            ("0", None),
            ("101%", None),
            ("-1", None),
            ("many", None),
        ];
        for (text, share) in table {
            assert_eq!(parse_share(text).ok(), share, "{text}");
        }
    }
}
