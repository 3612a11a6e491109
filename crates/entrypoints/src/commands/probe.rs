//! `salla-sync probe`: how Salla's API behaves for this shop, in a report that can be
//! passed on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::plan::Budget;
use importer::ports::clock::SystemClock;
use importer::ports::platform::Platform as _;
use salla_client::probe::{MAX_REQUESTS, ProbeReport, probe};

use super::import::reported;
use crate::cli::ProbeArgs;
use crate::config::{SettingsReader, environment};
use crate::display::{self, note, printable};
use crate::exit::Exit;
use crate::wiring;

pub async fn run(arguments: ProbeArgs) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let settings = reader.salla(&arguments.tokens);
    let settings = reader.finish(settings)?;
    let client = wiring::client_without_storage(&settings, 1.0, Arc::new(SystemClock::real()))?;
    let shop = client.shop_info().await.map_err(reported)?;
    client.set_plan(&shop.plan);
    let budget = Budget {
        requests_per_minute: client
            .budget()
            .limit_per_minute
            .or(shop.plan.documented_requests_per_minute()),
        share: 1.0,
    };
    note(format!(
        "Sending at most {MAX_REQUESTS} GET requests to Salla, at least {}. Nothing is changed, at \
         Salla or here.",
        display::duration(Duration::from_secs(budget.floor_seconds(MAX_REQUESTS)))
    ));
    let accounts = settings.app.accounts_url.clone();
    let report = probe(client.as_ref(), accounts).await.map_err(reported)?;
    match &arguments.out {
        None if arguments.json => display::json(&report),
        None => display::lines(text(&report)),
        Some(file) => {
            let text = match arguments.json {
                true => {
                    serde_json::to_string_pretty(&report).context("writing the report as JSON")?
                }
                false => text(&report),
            };
            std::fs::write(file, text + "\n")
                .with_context(|| format!("writing the report to {}", file.display()))?;
            note(format!("The report is in {}.", file.display()));
        }
    }
    Ok(Exit::Done)
}

fn text(found: &ProbeReport) -> String {
    let mut report = format!(
        "How Salla's API behaves, found by salla-sync {} with {} requests.\n\
         It contains no secret and no personal data.\n",
        env!("CARGO_PKG_VERSION"),
        found.requests
    );
    for finding in &found.findings {
        report.push_str(&format!(
            "\n{}\n  {}\n  because: {}\n",
            finding.question,
            printable(&finding.answer),
            printable(&finding.evidence)
        ));
    }
    report.trim_end().to_owned()
}
