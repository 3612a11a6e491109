//! PostgreSQL may log every statement with its values: no token is among them.

use std::process::Stdio;
use std::sync::Arc;

use entrypoints::config::DatabaseSettings;
use entrypoints::wiring::open_database;
use importer::ports::clock::SystemClock;
use salla_simulator::{Plan, Scenario, ShopSpec, Simulator};
use secrecy::ExposeSecret as _;

use crate::server::OwnServer;
use crate::support::{KEY, program};

/// A server that says all that it is asked.
const TALKATIVE: [(&str, &str); 5] = [
    ("log_statement", "all"),
    ("log_min_duration_statement", "0"),
    ("log_min_error_statement", "debug5"),
    ("log_parameter_max_length", "-1"),
    ("log_parameter_max_length_on_error", "-1"),
];

/// A shop whose tokens are refreshed in the middle of its import.
fn renewing() -> Scenario {
    let mut scenario = Scenario {
        shop: ShopSpec {
            orders: 120,
            customers: 30,
            products: 20,
            months: 3,
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    };
    scenario.oauth.access_token_requests = Some(12);
    scenario.moved_to(salla_simulator::present())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_all_statements_holds_no_token_and_no_key() {
    let own = OwnServer::start(&TALKATIVE).await;
    let url = own.url();
    let simulator = Simulator::start(renewing()).await.unwrap();
    for arguments in [&["migrate"][..], &["connect"], &["import"], &["status"]] {
        let mut command = program(&simulator, &url, arguments);
        command.stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    assert!(simulator.ledger().refreshes > 0, "nothing was renewed");

    let settings = DatabaseSettings::Url(url.clone().into());
    let clock = Arc::new(SystemClock::real());
    let open = open_database(&settings, Some(KEY.to_owned().into()), clock).await;
    let open = open.unwrap();
    let merchant = open.runs().list().await.unwrap().remove(0).0.merchant;
    let connections = open.connections().unwrap();
    let stored = connections.of_merchant(merchant).await.unwrap().unwrap();
    let renewed = stored.tokens.refresh.unwrap();
    let key = KEY.split_once(':').unwrap().1;
    let secrets = [
        simulator.access_token(),
        simulator.refresh_token(),
        stored.tokens.access.expose_secret(),
        renewed.expose_secret(),
        simulator.client_secret(),
        key,
    ];
    let log = std::fs::read(own.server.log_file()).unwrap();
    let log = String::from_utf8_lossy(&log);
    // It says what was stored, so it would have said these as well.
    for expected in ["salla_sync.connections", "arameters: $1 = "] {
        assert!(log.contains(expected), "{expected} is missing");
    }
    for secret in secrets {
        assert!(
            secret.len() > 8 && !log.contains(secret),
            "a secret is in the log"
        );
        // As PostgreSQL writes values that are bytes.
        let in_hex = hex::encode(secret);
        assert!(!log.contains(&in_hex), "a secret is in the log, as bytes");
    }
}
