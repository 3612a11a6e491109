//! `salla-sync demo`: a simulated shop, a private PostgreSQL, a real import, and
//! the simulator's word on whether everything arrived.

mod mail;
mod merchant;

use std::path::PathBuf;
use std::sync::Arc;

use importer::import::ImportOutcome;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::connections::Tokens;
use importer::ports::runs::RunOptions;
use salla_simulator::{AppAge, Scenario, Simulator};
use url::Url;

use super::import::{ImportJob, report, run_with_progress};
use crate::cli::{DatabaseArgs, DemoApp, DemoArgs};
use crate::config::{AppKeys, AppSettings, DatabaseSettings, EGRESS_GROUP, SallaSettings};
use crate::display::{self, line, lines, note};
use crate::exit::Exit;
use crate::wiring::{self, OpenDatabase};

/// What goes wrong in the demo, and how often; see the file for the numbers.
const SCENARIO: &str = include_str!("demo/scenario.toml");

pub async fn run(arguments: DemoArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let data_dir = database
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(".salla-sync/demo"));
    let data_dir = std::path::absolute(data_dir)?;
    let scenario = scenario(&arguments)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(
        scenario.clock.start,
        scenario.clock.scale,
    ));
    note("Starting a private PostgreSQL and the simulator of Salla …");
    let _server = wiring::reset_embedded(&data_dir, clock.clone()).await?;
    let settings = DatabaseSettings::Embedded {
        data_dir: data_dir.clone(),
    };
    let open = wiring::open_database(&settings, None, clock.clone()).await?;
    open.check_schema().await?;
    let open = Arc::new(open);
    let simulator = Simulator::start(scenario.clone()).await?;
    print_intro(&arguments, &scenario);

    let salla = salla_settings(&simulator);
    let server = merchant::serve(&open, &salla.app, &clock).await?;
    let merchant = server.connect_a_shop().await?;
    let connected = wiring::connected_shop(&open, &salla.app, merchant, clock.clone()).await;
    let connected = connected.map_err(super::import::reported)?;
    let job = ImportJob {
        shop: connected.shop,
        options: RunOptions {
            months: 12,
            max_orders: None,
            keep_raw: true,
            only: None,
        },
        reading: importer::import::Reading::Changes,
        json: arguments.json,
    };
    let platform = connected.platform;
    let settings = wiring::import_settings(1.0);
    let outcome = run_with_progress(&open, platform, settings, clock.clone(), &job).await?;
    let certificate = match &outcome {
        ImportOutcome::Completed(certificate) => Some(certificate.clone()),
        _ => None,
    };
    let exit = report(&job, outcome);
    let Some(certificate) = certificate else {
        return Ok(exit);
    };
    print_faults(&simulator);
    let mails = mail::deliver(&open, server.sign_in().clone(), &clock).await?;
    if !arguments.json {
        mail::show(&mails);
    }
    let differences = crate::truth_check::differences(
        open.database.pool(),
        merchant,
        &certificate,
        &simulator.shop(),
    )
    .await?;
    let exit = exit_for(&differences);
    print_next_steps(&open, &data_dir);
    Ok(exit)
}

fn scenario(arguments: &DemoArgs) -> anyhow::Result<Scenario> {
    let mut scenario: Scenario = toml::from_str(SCENARIO)?;
    scenario.seed = arguments.seed;
    scenario.shop.seed = arguments.seed;
    scenario.shop.orders = arguments.orders;
    scenario.clock.scale = arguments.speed;
    scenario.app_age = match arguments.app {
        DemoApp::Old => AppAge::Expanded,
        DemoApp::Details => AppAge::FullDetails,
        DemoApp::New => AppAge::LightDetails,
    };
    Ok(scenario)
}

/// The settings of a user who has the simulator's tokens and app.
pub fn salla_settings(simulator: &Simulator) -> SallaSettings {
    SallaSettings {
        app: AppSettings {
            api_url: address(&simulator.api_url()),
            accounts_url: address(&simulator.accounts_url()),
            egress_group: EGRESS_GROUP.to_owned(),
            keys: Some(AppKeys {
                client_id: simulator.client_id().to_owned(),
                client_secret: simulator.client_secret().into(),
            }),
        },
        tokens: Tokens {
            access: simulator.access_token().into(),
            refresh: Some(simulator.refresh_token().into()),
            expires_at: None,
            scope: None,
        },
    }
}

/// Of the simulator, which is on this machine.
fn address(text: &str) -> Url {
    Url::parse(text).expect("the simulator says where it is")
}

fn print_intro(arguments: &DemoArgs, scenario: &Scenario) {
    note(format!(
        "A simulated shop of {} orders (seed {}); its time runs {} times as fast as real time. It \
         throttles requests, fails, expires tokens and sends malformed records.",
        display::count(arguments.orders),
        arguments.seed,
        scenario.clock.scale
    ));
}

fn print_faults(simulator: &Simulator) {
    let ledger = simulator.ledger();
    let failed: u64 = ledger
        .by_status
        .iter()
        .filter(|(status, _)| **status >= 500)
        .map(|(_, count)| count)
        .sum();
    lines(format!(
        "\nThe simulator received {} requests: {} got a server error, {} no response, {} a 429 \
         (most in one minute: {}). Tokens were refreshed {} times; used ones were presented again \
         {} times.",
        display::count(ledger.requests),
        failed,
        ledger.unanswered,
        ledger.throttled,
        ledger.most_in_60s,
        ledger.refreshes,
        ledger.refresh_reuses
    ));
}

fn exit_for(differences: &[String]) -> Exit {
    if differences.is_empty() {
        line("The certificate and every row equal what the simulator knows to be true.");
        return Exit::Done;
    }
    line("The simulator disagrees:");
    for difference in differences {
        line(format!("  - {difference}"));
    }
    Exit::Failed
}

fn print_next_steps(open: &OpenDatabase, data_dir: &std::path::Path) {
    let Some(server) = &open.embedded else { return };
    lines(format!(
        "\nLook at the data (the private PostgreSQL runs for 15 more minutes, the data stays):\n  \
         psql -h {} -U postgres {} -c 'select * from salla.daily_sales order by riyadh_date desc \
         limit 7'\n  target/demo/salla-sync psql --embedded --data-dir {}\n  \
         target/demo/salla-sync status --embedded --data-dir {} --certificate\n  \
         target/demo/salla-sync rejected --embedded --data-dir {}",
        server.socket_dir().display(),
        server.database(),
        data_dir.display(),
        data_dir.display(),
        data_dir.display()
    ));
}
