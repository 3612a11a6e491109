//! Tokens in a copy of the database: nothing is refreshed until it is adopted.

use domain::failure::{Disconnection, Failure};
use importer::import::ImportOutcome;
use salla_simulator::{Endpoint, Fault};
use serde_json::Value;

use crate::process::{program, run};
use crate::service::{TestService, completed};
use crate::truth::small;

/// As if this were a copy of the database in which the tokens were stored.
async fn move_elsewhere(service: &TestService) {
    sqlx::query("UPDATE salla_sync.connections SET home = 'elsewhere'")
        .execute(service.open.database.pool())
        .await
        .expect("it can be moved");
}

async fn adopt(service: &TestService, more: &[&str]) -> Value {
    let arguments = [&["connections", "adopt", "--json"], more].concat();
    let output = run(program(service, &arguments)).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

async fn doctor(service: &TestService) -> String {
    let output = run(program(service, &["doctor"])).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_refreshes_nothing_until_it_is_adopted() {
    let mut scenario = small(100);
    scenario.clock.scale = 100.0;
    let service = TestService::start(scenario).await;
    let merchant = service.connect().await.merchant;
    move_elsewhere(&service).await;

    // As long as Salla takes the access token, the copy can read.
    let (_, outcome) = service.import().await;
    let certificate = completed(outcome);
    service.compare(merchant, &certificate).await;

    let expire = || {
        let simulator = &service.simulator;
        simulator.queue_fault(Endpoint::StoreInfo, Fault::ExpireToken);
    };
    expire();
    let failure = Failure::Disconnected(Disconnection::NotAdopted);
    for _ in 0..2 {
        let refused = service.try_to_connect(&service.salla()).await;
        assert_eq!(refused.err(), Some(failure.clone()));
    }
    assert_eq!(service.simulator.ledger().refresh_presentations, 0);

    let salla_id = service.simulator.merchant_id();
    let doctor = doctor(&service).await;
    assert!(
        doctor.contains("run `salla-sync connections adopt`"),
        "{doctor}"
    );
    assert!(doctor.contains(&format!("({salla_id})")), "{doctor}");
    let shop = |report: &Value| report["adopted"][0]["salla_id"].as_i64();
    assert_eq!(shop(&adopt(&service, &["--dry-run"]).await), Some(salla_id));
    assert_eq!(shop(&adopt(&service, &[]).await), Some(salla_id));
    assert_eq!(shop(&adopt(&service, &[]).await), None);
    let doctor = self::doctor(&service).await;
    assert!(!doctor.contains("connections adopt"), "{doctor}");
    let (_, outcome) = service.import().await;
    assert!(
        matches!(outcome, ImportOutcome::Completed(_)),
        "{outcome:?}"
    );
    assert_eq!(service.simulator.ledger().refreshes, 1);
}
