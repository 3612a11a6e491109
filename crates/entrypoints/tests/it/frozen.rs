//! Connections to the database that stay open and answer no more.

use std::time::Duration;

use database::testing::FreezingProxy;
use importer::ports::clock::{Clock as _, SystemClock};
use salla_simulator::{AppAge, Scenario};

use crate::process::{present_day, program};
use crate::truth::small;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_connections_freeze_goes_on_within_a_minute() {
    let mut scenario = Scenario {
        app_age: AppAge::FullDetails,
        ..small(400)
    };
    scenario.latency.fixed_ms = 50;
    let service = present_day(scenario).await;
    let proxy = FreezingProxy::before(&service.database.url()).await;
    let mut command = program(&service, &["import"]);
    command.env("DATABASE_URL", proxy.url());
    let child = command.spawn().expect("it starts");
    service.simulator.until_requests(60).await;
    proxy.freeze();
    let clock = SystemClock::real();
    let frozen_at = clock.monotonic();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = tokio::time::timeout(Duration::from_secs(240), ended)
        .await
        .expect("it does not hang")
        .expect("the wait is not cancelled")
        .expect("it can be waited for");
    let took = clock.monotonic() - frozen_at;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(took < Duration::from_secs(60), "{took:?}: {said}");

    let runs = service
        .open
        .runs()
        .list()
        .await
        .expect("runs can be listed");
    let (shop, run) = &runs[0];
    let certificate = run.as_ref().and_then(|run| run.certificate.as_ref());
    let certificate = certificate.expect("a certificate is stored");
    service.compare(shop.merchant, certificate).await;
}
