//! `salla-sync doctor`: looks at everything an import needs and says what is wrong
//! with each, instead of stopping at the first.

use std::sync::Arc;

use database::{Database, KeyCheck, Keyring, SchemaState};
use domain::failure::Failure;
use domain::plan::MOST_PER_PAGE;
use domain::resource::Resource;
use importer::admission::FetchPermit;
use importer::clocks::{self, Agreement};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::platform::{PageRequest, Platform, Sort};
use importer::ports::queue::QueueName;
use salla_client::SallaClient;
use secrecy::SecretString;
use serde::Serialize;

use super::connections::named;
use crate::cli::{DatabaseArgs, DoctorArgs};
use crate::config::{
    DatabaseSettings, QueuePlace, SallaSettings, SettingsReader, api_path_hint, environment,
    key_problem,
};
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring::{self, OpenDatabase, PoolSize};

#[derive(Serialize)]
struct Check {
    what: String,
    /// `None`: it was not checked.
    ok: Option<bool>,
    finding: String,
}

#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn good(&mut self, what: &str, finding: impl Into<String>) {
        self.add(what, Some(true), finding.into());
    }

    fn bad(&mut self, what: &str, finding: impl Into<String>) {
        self.add(what, Some(false), finding.into());
    }

    fn unchecked(&mut self, what: &str, why: &str) {
        self.add(what, None, format!("not checked: {why}"));
    }

    fn failure(&mut self, what: &str, failure: &Failure) {
        self.bad(what, format!("{failure}; {}", failure.advice()));
    }

    fn add(&mut self, what: &str, ok: Option<bool>, finding: String) {
        self.0.push(Check {
            what: what.to_owned(),
            ok,
            finding,
        });
    }
}

pub async fn run(arguments: DoctorArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut report = Report::default();
    let mut reader = SettingsReader::new(&environment);
    let database = reader.database(database);
    let has_tokens = reader.has_tokens(&arguments.tokens);
    let salla = if has_tokens {
        reader.salla(&arguments.tokens)
    } else {
        reader.app();
        None
    };
    let queue = reader.queue();
    reader.check_service();
    let key = reader.encryption_key();
    let mut problems = reader.problems();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let opened = match &database {
        Some(settings) => Some(opened(settings, key, clock.clone()).await),
        None => None,
    };
    if let Some(Ok((_, Err(KeyCheck::Mismatch(mismatch))))) = &opened {
        problems.push(key_problem(mismatch));
    }
    if problems.is_empty() {
        report.good("settings", "complete");
    }
    problems
        .into_iter()
        .for_each(|problem| report.bad("settings", problem));
    let open = match database.zip(opened) {
        Some((settings, Ok((open, _)))) => {
            check_database(&mut report, &settings, &open).await;
            Some(open)
        }
        Some((_, Err(error))) => {
            report.bad("database", format!("{error:#}"));
            None
        }
        None => None,
    };
    let is_salla_set = salla.is_some();
    let salla_client = match salla {
        Some(settings) => check_salla(&mut report, &settings, clock.clone()).await,
        None => None,
    };
    if let Some(open) = &open {
        let platform = salla_client
            .as_deref()
            .map(|client| client as &dyn Platform);
        check_clocks(&mut report, open, platform, clock.as_ref()).await;
        check_versions(&mut report, open).await;
        check_homes(&mut report, open).await;
        check_queues(&mut report, open, &queue).await;
    }
    if !has_tokens || !is_salla_set {
        let why = match has_tokens {
            true => "the settings for Salla are wrong",
            false => "none is given (SALLA_ACCESS_TOKEN, or --tokens FILE)",
        };
        report.unchecked("token", why);
    }
    print(&report, arguments.json);
    let healthy = report.0.iter().all(|check| check.ok != Some(false));
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

/// The database, and whether the key fits it: the rest is checked either way.
async fn opened(
    settings: &DatabaseSettings,
    key: Option<SecretString>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(OpenDatabase, Result<(), KeyCheck>)> {
    let key = key.filter(|key| Keyring::parse(key).is_ok());
    let open = wiring::open_with_any_key(settings, key, clock, PoolSize::FOR_COMMAND).await?;
    let fits = open.check_key().await;
    Ok((open, fits))
}

async fn check_database(report: &mut Report, settings: &DatabaseSettings, open: &OpenDatabase) {
    report.good("database", settings.describe());
    check_server(report, &open.database).await;
    match open.database.schema_state().await {
        Ok(SchemaState::UpToDate) => report.good("tables", "up to date"),
        Ok(SchemaState::Behind { .. }) => {
            report.bad(
                "tables",
                "missing or of an older version; run `salla-sync migrate`",
            );
            if let Err(failure) = open.database.check_migration().await {
                report.bad("migrate", failure.to_string());
            }
        }
        Ok(SchemaState::Unknown) => {
            report.bad(
                "tables",
                "of a newer version of salla-sync; use that version",
            );
        }
        Err(failure) => report.failure("tables", &failure),
    }
}

/// Queues elsewhere: whether they are there and let us count.
async fn check_queues(report: &mut Report, open: &OpenDatabase, place: &QueuePlace) {
    let QueuePlace::Sqs { prefix } = place else {
        return;
    };
    let counted = async {
        let queues = open.queues.clone().at(place).await?;
        for name in QueueName::ALL {
            queues.of(name).depth().await?;
        }
        anyhow::Ok(())
    };
    match counted.await {
        Ok(()) => report.good("queue", format!("SQS, {prefix}-…")),
        Err(error) => report.bad("queue", format!("{error:#}")),
    }
}

/// All clocks that could be read.
async fn check_clocks(
    report: &mut Report,
    open: &OpenDatabase,
    platform: Option<&dyn Platform>,
    clock: &dyn Clock,
) {
    let offsets = match clocks::offsets(open.runs().as_ref(), platform, clock).await {
        Ok(Some(offsets)) => offsets,
        Ok(None) => return,
        Err(failure) => return report.failure("clock", &failure),
    };
    let salla = offsets.salla.map_or_else(
        || "Salla's was not checked".to_owned(),
        |offset| format!("Salla's is {} s off", offset.as_secs()),
    );
    match offsets.agreement() {
        Agreement::Agreed => report.good(
            "clock",
            format!(
                "this machine and PostgreSQL are {} s apart; {salla}",
                offsets.database.as_secs()
            ),
        ),
        Agreement::Doubtful(reason) | Agreement::Apart(reason) => report.bad("clock", reason),
    }
}

/// What the server and its administrator have decided. Each of these says what to do.
async fn check_server(report: &mut Report, database: &Database) {
    match database.require_utf8().await {
        Ok(()) => report.good("encoding", "UTF8"),
        Err(failure) => report.bad("encoding", failure.to_string()),
    }
    match database.require_writable().await {
        Ok(()) => report.good("writes", "are accepted"),
        Err(failure) => report.bad("writes", failure.to_string()),
    }
    match database.foreign_limits().await {
        Ok(limits) if limits.is_empty() => {}
        Ok(limits) => report.good(
            "limits",
            format!("{}: overridden by salla-sync's sessions", limits.join(", ")),
        ),
        Err(failure) => report.failure("limits", &failure),
    }
}

/// At most this many shops are named.
const MAX_NAMED: usize = 5;

/// Tokens that came here with a copy, a backup or a failover.
async fn check_homes(report: &mut Report, open: &OpenDatabase) {
    let database = &open.database;
    if !has_tables(open).await || database.require_writable().await.is_err() {
        let why = "the tables are not up to date, or not writable";
        return report.unchecked("connections", why);
    }
    let foreign = match database.foreign_connections().await {
        Ok(foreign) => foreign,
        Err(failure) => return report.failure("connections", &failure),
    };
    if foreign.is_empty() {
        return report.good("connections", "no tokens come from another database");
    }
    let names: Vec<String> = foreign
        .iter()
        .take(MAX_NAMED)
        .map(|shop| named(shop.name.as_deref(), shop.salla_id))
        .collect();
    let more = match foreign.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    report.bad(
        "connections",
        format!(
            "the tokens of {} connection(s) were copied from another database, so they are not \
             refreshed here: {}{more}; if this database replaces the other one and no process uses \
             that any more, run `salla-sync connections adopt`; otherwise change nothing",
            foreign.len(),
            names.join(", ")
        ),
    );
}

async fn has_tables(open: &OpenDatabase) -> bool {
    let state = open.database.schema_state().await;
    matches!(state, Ok(SchemaState::UpToDate))
}

/// Rows that were read while a clock was ahead.
async fn check_versions(report: &mut Report, open: &OpenDatabase) {
    if !has_tables(open).await {
        return report.unchecked("versions", "the tables are not up to date");
    }
    match open.database.future_versions(None).await {
        Ok(found) => match display::future_versions(&found) {
            None => report.good("versions", "none is in the future"),
            Some(warning) => report.bad("versions", warning),
        },
        Err(failure) => report.failure("versions", &failure),
    }
}

/// The client, where the token opens a shop.
async fn check_salla(
    report: &mut Report,
    settings: &SallaSettings,
    clock: Arc<dyn Clock>,
) -> Option<Arc<SallaClient>> {
    let client = match wiring::client_without_storage(settings, 1.0, clock) {
        Ok(client) => client,
        Err(failure) => {
            report.failure("client", &failure);
            return None;
        }
    };
    match client.shop_info().await {
        Ok(shop) => report.good(
            "token",
            format!(
                "{} (plan {}) at {}",
                shop.name,
                shop.plan.name(),
                settings.app.api_url
            ),
        ),
        Err(failure) => {
            token_failed(report, settings, &failure);
            return Some(client);
        }
    }
    let scopes = [
        (Resource::Orders, "scope orders.read"),
        (Resource::Customers, "scope customers.read"),
        (Resource::Products, "scope products.read"),
        (Resource::Categories, "scope categories.read"),
    ];
    for (resource, what) in scopes {
        check_scope(report, client.as_ref(), resource, what).await;
    }
    if let Some(limit) = client.budget().limit_per_minute {
        report.good("budget", format!("{limit} requests a minute"));
    }
    Some(client)
}

fn token_failed(report: &mut Report, settings: &SallaSettings, failure: &Failure) {
    let asked = &settings.app.api_url;
    let finding = format!(
        "{failure} (from {asked}{}); {}",
        api_path_hint(asked),
        failure.advice()
    );
    report.bad("token", finding);
}

async fn check_scope(report: &mut Report, client: &dyn Platform, resource: Resource, what: &str) {
    let request = PageRequest {
        resource,
        days: None,
        slice: None,
        page: 1,
        per_page: MOST_PER_PAGE,
        sort: Sort::NewestFirst,
        expanded: false,
    };
    match client
        .list_page(&request, &mut FetchPermit::default())
        .await
    {
        Ok(page) => report.good(
            what,
            format!("{} {resource}", display::count(page.pagination.total)),
        ),
        Err(failure) => report.failure(what, &failure),
    }
}

fn print(report: &Report, json: bool) {
    if json {
        return display::json(&report.0);
    }
    for check in &report.0 {
        let mark = match check.ok {
            Some(true) => "ok ",
            Some(false) => "BAD",
            None => "-  ",
        };
        line(format!("  {mark}  {:<22} {}", check.what, check.finding));
    }
}
