//! `salla-sync doctor`: looks at everything an import needs and says what is wrong
//! with each, instead of stopping at the first.

use std::sync::Arc;

use database::{Database, SchemaState};
use domain::failure::Failure;
use domain::resource::Resource;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::platform::{PageRequest, Platform, Sort};
use serde::Serialize;

use crate::cli::{DatabaseArgs, DoctorArgs};
use crate::config::{DatabaseSettings, Reader, SallaSettings, environment};
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring;

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
    let mut reader = Reader::new(&environment);
    let database = reader.database(database);
    let has_tokens = reader.has_tokens(&arguments.tokens);
    let salla = if has_tokens {
        reader.salla(&arguments.tokens)
    } else {
        reader.app();
        None
    };
    let key = reader.encryption_key();
    let problems = reader.problems();
    if problems.is_empty() {
        report.good("settings", "complete");
    }
    problems
        .into_iter()
        .for_each(|problem| report.bad("settings", problem));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    if let Some(settings) = database {
        check_database(&mut report, &settings, key, clock.clone()).await;
    }
    if let Some(settings) = salla {
        check_salla(&mut report, &settings, clock).await;
    } else if !has_tokens {
        let why = "none is given (SALLA_ACCESS_TOKEN, or --tokens FILE)";
        report.unchecked("token", why);
    }
    print(&report, arguments.json);
    let healthy = report.0.iter().all(|check| check.ok != Some(false));
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

async fn check_database(
    report: &mut Report,
    settings: &DatabaseSettings,
    key: Option<secrecy::SecretString>,
    clock: Arc<dyn Clock>,
) {
    let open = match wiring::open_database(settings, key, clock.clone()).await {
        Ok(open) => open,
        Err(error) => return report.bad("database", format!("{error:#}")),
    };
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
    match wiring::clocks_apart(&open.database, clock.as_ref()).await {
        Ok(apart) => {
            let finding = format!(
                "this machine and PostgreSQL are {} s apart",
                apart.as_secs()
            );
            if wiring::clocks_agree(apart) {
                report.good("clock", finding);
            } else {
                report.bad("clock", format!("{finding}; set both by NTP"));
            }
        }
        Err(failure) => report.failure("clock", &failure),
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
            format!(
                "{}: not for sessions of salla-sync, which set their own",
                limits.join(", ")
            ),
        ),
        Err(failure) => report.failure("limits", &failure),
    }
}

async fn check_salla(report: &mut Report, settings: &SallaSettings, clock: Arc<dyn Clock>) {
    let client = match wiring::unstored_client(settings, 1.0, clock) {
        Ok(client) => client,
        Err(failure) => return report.failure("client", &failure),
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
        Err(failure) => return report.failure("token", &failure),
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
}

async fn check_scope(report: &mut Report, client: &dyn Platform, resource: Resource, what: &str) {
    let request = PageRequest {
        resource,
        days: None,
        slice: None,
        page: 1,
        sort: Sort::NewestFirst,
        expanded: false,
    };
    match client.list_page(&request).await {
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
