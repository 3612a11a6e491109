//! The command line: what can be typed, with an example for each.

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

#[derive(Debug, Parser)]
#[command(
    name = "salla-sync",
    version,
    about = "Brings a Salla shop's orders, customers and products into PostgreSQL, and proves it",
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
  0  done: all that was asked for is there
  1  the import ended FAILED, or the command could not do its work
  2  wrong usage or settings
  3  interrupted: run the same command again to go on from the checkpoint
  4  another process is importing this shop, or the import is paused or cancelled
  130  ended at once by a second Ctrl-C";

#[derive(Args, Debug)]
pub struct Global {
    /// How log lines look on standard error.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "SALLA_SYNC_LOG_FORMAT"
    )]
    pub log_format: LogFormat,

    /// What is logged, e.g. `info` or `salla_client=debug`.
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
    /// Use a private PostgreSQL that salla-sync starts by itself instead of
    /// DATABASE_URL.
    #[arg(long, global = true)]
    pub embedded: bool,

    /// Where the private PostgreSQL and its key live [default:
    /// ~/.local/share/salla-sync].
    #[arg(long, global = true, env = "SALLA_SYNC_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import a simulated shop into a private PostgreSQL: no account, no set-up.
    #[cfg(feature = "demo")]
    #[command(after_help = "Example:\n  salla-sync demo --orders 20000")]
    Demo(DemoArgs),

    /// Import a shop's history, go on with an import that was interrupted, or read what has
    /// changed since one that is complete.
    #[command(after_help = "Example:\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync import --months 12\n\n\
        The same command again keeps the shop true, from cron for example:\n  \
        0 * * * *  salla-sync import --months 12 --tokens /etc/salla-sync/tokens.json\n\n\
        For a first try:\n  \
        SALLA_ACCESS_TOKEN=… salla-sync import --embedded --max-orders 200")]
    Import(ImportArgs),

    /// Go further back than the finished imports did, and read what has changed since; what
    /// is there is not read again.
    #[command(after_help = "Example:\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync extend --months 24")]
    Extend(ExtendArgs),

    /// Read a part of the shop again: the orders of some days, or another resource.
    #[command(after_help = "Examples:\n  \
        salla-sync resync --resource orders --from 2026-01-01 --to 2026-01-31\n  \
        salla-sync resync --resource products")]
    Resync(ResyncArgs),

    /// Say what an import would fetch and how long Salla's limits make it last.
    #[command(after_help = "Example:\n  SALLA_ACCESS_TOKEN=… salla-sync plan --months 24")]
    Plan(PlanArgs),

    /// Show the imports in this database.
    #[command(after_help = "Example:\n  DATABASE_URL=postgres://… salla-sync status --json")]
    Status(StatusArgs),

    /// List records that were set aside, with the reason; or read them again.
    #[command(after_help = "Example:\n  \
        DATABASE_URL=postgres://… salla-sync rejected --code invalid_date --limit 20\n\n\
        After an update of salla-sync that understands more:\n  \
        DATABASE_URL=postgres://… salla-sync rejected replay")]
    Rejected(RejectedArgs),

    /// Say where one record is: loaded, set aside, gone, outside the imported days, or
    /// unknown, and why.
    #[command(after_help = "Examples:\n  \
        DATABASE_URL=postgres://… salla-sync trace 1027339291\n  \
        SALLA_ACCESS_TOKEN=… salla-sync trace 45012 --fetch\n\n\
        Exit code 0: something is known of the record; 1: nothing is.")]
    Trace(TraceArgs),

    /// Compare the database with what Salla says now; changes nothing.
    #[command(after_help = "Examples:\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync verify\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync verify --deep --sample 200\n\n\
        Exit code 0: all fits, or differs only by what came or went since the import;\n\
        1: the database lacks records, or an order differs.")]
    Verify(VerifyArgs),

    /// Find out how Salla's API behaves for this shop, and write a report without
    /// secrets and personal data that can be passed on.
    #[command(after_help = "Examples:\n  \
        SALLA_ACCESS_TOKEN=… salla-sync probe\n  \
        SALLA_ACCESS_TOKEN=… salla-sync probe --json --out report.json\n\n\
        It only reads, needs no database, and says first how many requests it makes.")]
    Probe(ProbeArgs),

    /// Read all kept raw records again, after an update of salla-sync that reads them
    /// otherwise. Asks Salla for nothing.
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

    /// Work on imports in the background until told to stop.
    #[command(after_help = "Example:\n  \
        SALLA_CLIENT_ID=… SALLA_CLIENT_SECRET=… SALLA_SYNC_KEY=… DATABASE_URL=postgres://… \\\n  \
        salla-sync work --log info --log-format json\n\n\
        SIGTERM or Ctrl-C stops at a commit and gives the work to others. Any number of\n\
        workers may share a database.")]
    Work(WorkArgs),

    /// Serve merchants who connect their shops, Salla's webhooks, and the API over HTTP.
    #[command(after_help = "Example:\n  \
        SALLA_CLIENT_ID=… SALLA_CLIENT_SECRET=… SALLA_WEBHOOK_SECRET=… SALLA_SYNC_KEY=… \\\n  \
        SALLA_SYNC_PUBLIC_URL=https://sync.example.com DATABASE_URL=postgres://… \\\n  \
        salla-sync serve --with-worker\n\n\
        It speaks http: a proxy in front of it ends TLS. SIGTERM or Ctrl-C ends it when what\n\
        was asked is done.")]
    Serve(ServeArgs),

    /// Start, look at, pause, resume, cancel, restart and extend imports in the
    /// background.
    #[command(subcommand)]
    Runs(RunsCommand),

    /// Look at the queues and decide about dead letters.
    #[command(subcommand)]
    Queue(QueueCommand),

    /// List what merchants were told in the app, and mark it as read.
    #[command(subcommand)]
    Notifications(NotificationsCommand),

    /// Let other stores follow the loaded data by PostgreSQL's log.
    #[command(subcommand)]
    Cdc(CdcCommand),

    /// Decide about stored tokens.
    #[command(subcommand)]
    Connections(ConnectionsCommand),

    /// Make the key that tokens are encrypted with, change it, and see what each key seals.
    #[command(subcommand)]
    Keys(KeysCommand),

    /// Make, list and revoke tokens of the HTTP API.
    #[command(subcommand)]
    Tokens(TokensCommand),

    /// List and end sessions of merchants who have signed in over HTTP.
    #[command(subcommand)]
    Sessions(SessionsCommand),

    /// Look at who did what that matters for security and privacy.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make the database's roles, and let it keep merchants apart by itself.
    #[command(subcommand)]
    Roles(RolesCommand),

    /// Write out everything that is stored of a customer, as JSON.
    #[command(after_help = "Example:\n  \
        DATABASE_URL=postgres://… salla-sync export --customer 1227534533 --shop 1305146709 \\\n  \
        --out customer.json\n\n\
        Rows, raw records, rejected records, notifications and dead letters.")]
    Export(ExportArgs),

    /// Forget a customer, or everything of a shop, for good.
    #[command(after_help = "Examples:\n  \
        salla-sync forget --customer 1227534533 --shop 1305146709 --dry-run\n  \
        salla-sync forget --shop 1305146709\n  \
        salla-sync forget --expired --dry-run\n\n\
        Later imports do not bring a forgotten customer back; orders stay with their amounts.\n\
        While an import holds the shop, nothing is changed and the exit code is 4.")]
    Forget(ForgetDataArgs),

    /// Create or upgrade salla-sync's tables.
    #[command(after_help = "Example:\n  DATABASE_URL=postgres://… salla-sync migrate")]
    Migrate(MigrateArgs),

    /// Check settings, database and clock, and with a token Salla and the scopes.
    #[command(after_help = "Example:\n  \
        SALLA_ACCESS_TOKEN=… DATABASE_URL=postgres://… salla-sync doctor")]
    Doctor(DoctorArgs),

    /// Open psql on the database.
    #[command(after_help = "Example:\n  \
        salla-sync psql --embedded -- -c 'select * from salla.daily_sales limit 5'")]
    Psql(PsqlArgs),
}

#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// Read the tokens from this file, `-` for standard input: the access token
    /// alone, or JSON with access_token and refresh_token. Without it they are
    /// taken from SALLA_ACCESS_TOKEN and SALLA_REFRESH_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct Depth {
    /// How many months of orders; customers and products are always whole.
    #[arg(long, default_value = "12", value_parser = parse_months)]
    pub months: u16,

    /// For a first try: at most so many orders (the newest), customers and
    /// products.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_orders: Option<u64>,

    /// Leave the rest of Salla's budget to the shop's other software.
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    pub budget_share: f64,
}

#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    #[command(flatten)]
    pub depth: Depth,
    #[command(flatten)]
    pub tokens: TokenArgs,

    /// Read everything again although it is there, instead of what has changed since.
    #[arg(long)]
    pub again: bool,

    /// Read all customers and products again as well: Salla does not list their edits.
    /// New and deleted ones are found without it.
    #[arg(long, conflicts_with = "again")]
    pub refresh_lists: bool,

    /// Do not keep Salla's raw records beside the rows.
    #[arg(long)]
    pub no_raw: bool,

    /// Stop when more than this share of a resource is rejected for one reason.
    #[arg(long, default_value = "5%", value_parser = parse_share, value_name = "SHARE")]
    pub rejection_share: f64,

    #[command(flatten)]
    pub waiting: WaitArgs,

    /// Print the certificate as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of commands that have no other flag.
#[derive(Args, Clone, Debug)]
pub struct JsonArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct WaitArgs {
    /// End with exit code 4 at once if another process holds the import of this shop.
    /// Without it a process that is gone is waited for until its lease lapses, a minute
    /// at most; if it ran on this machine its import is taken over at once.
    #[arg(long)]
    pub no_wait: bool,
}

// What `extend` and `resync` have in common, which both read a part of a shop. (A
// documentation comment would replace theirs in --help.)
#[derive(Args, Clone, Debug)]
pub struct PartArgs {
    #[command(flatten)]
    pub tokens: TokenArgs,

    /// Leave the rest of Salla's budget to the shop's other software.
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    pub budget_share: f64,

    /// Do not keep Salla's raw records beside the rows.
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
    /// How many months of orders there should be afterwards.
    #[arg(long, default_value = "24", value_parser = parse_months)]
    pub months: u16,
    #[command(flatten)]
    pub part: PartArgs,
}

#[derive(Args, Clone, Debug)]
pub struct ResyncArgs {
    /// orders, customers, products, categories or order_statuses.
    #[arg(long)]
    pub resource: String,

    /// First day of the orders, in Riyadh.
    #[arg(long, value_name = "DAY")]
    pub from: Option<jiff::civil::Date>,

    /// Last day of the orders, in Riyadh.
    #[arg(long, value_name = "DAY")]
    pub to: Option<jiff::civil::Date>,
    #[command(flatten)]
    pub part: PartArgs,
}

#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    pub depth: Depth,
    /// Say as well what the import would cost on AWS: invocations, GB-seconds, requests to SQS
    /// and traffic through NAT.
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
    /// Show the latest certificate of each shop as well.
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
    /// Only this reason, e.g. invalid_date.
    #[arg(long)]
    pub code: Option<String>,
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Print the raw records too. They hold personal data.
    #[arg(long)]
    pub raw: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum RejectedAction {
    /// Read rejected records again and load those that are understood now. Asks Salla
    /// for nothing.
    #[command(after_help = "Example:\n  \
        DATABASE_URL=postgres://… salla-sync rejected replay --code invalid_date\n\n\
        While an import holds a shop, nothing of it is touched and the exit code is 4.")]
    Replay(ReplayArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Only this resource: orders, customers, products, categories or
    /// order_statuses.
    #[arg(long)]
    pub resource: Option<String>,
    /// Only this reason, e.g. invalid_date.
    #[arg(long)]
    pub code: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Salla's id of the record, or the number that people see on an order.
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub number: i64,
    /// What the record is: orders, customers, products, categories or order_statuses.
    #[arg(long, default_value = "orders")]
    pub resource: String,
    /// Ask Salla for this one record as well, with one or two requests; nothing is
    /// stored.
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
    /// Compare a random sample of orders field by field as well: one or two requests
    /// for each.
    #[arg(long)]
    pub deep: bool,
    /// How many orders.
    #[arg(long, default_value_t = 20, value_name = "N", requires = "deep",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: u32,
    /// Another seed draws another sample.
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
    /// Only say what would be done.
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
    /// Passed on to psql.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

#[cfg(feature = "demo")]
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    #[arg(long, default_value_t = 12_000, value_name = "N")]
    pub orders: u64,
    /// How fast the demo's time runs: Salla's limits are per minute, and a minute of
    /// the simulator lasts 60 s divided by this.
    #[arg(long, default_value_t = 8.0, value_name = "FACTOR")]
    pub speed: f64,
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// The age of the simulated app, which decides how line items are reached.
    #[arg(long, value_enum, default_value = "old")]
    pub app: DemoApp,
    /// Print the certificate as JSON.
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "demo")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoApp {
    /// Created before 2024-08-15: lists give whole orders.
    Old,
    /// One more request per order.
    Details,
    /// Two more requests per order.
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
