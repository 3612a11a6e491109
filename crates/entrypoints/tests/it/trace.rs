//! `salla-sync trace`, as typed.

use std::process::Output;

use crate::process::{present_day, program, run};
use crate::reprocess::json;
use crate::service::{TestService, completed};
use crate::truth::small;

async fn trace(service: &TestService, arguments: &[&str]) -> (String, Output) {
    let arguments = [&["trace"], arguments].concat();
    let output = run(program(service, &arguments)).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_traced_in_the_database_and_at_salla() {
    let service = present_day(small(200)).await;
    let (_, outcome) = service.import().await;
    let certificate = completed(outcome);
    let (id, number): (i64, i64) =
        sqlx::query_as("SELECT id, reference_id FROM salla.orders ORDER BY id LIMIT 1")
            .fetch_one(service.open.database.pool())
            .await
            .expect("there is an order");

    let requests = service.simulator.ledger().requests;
    let (said, output) = trace(&service, &[&id.to_string()]).await;
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "loaded, with its line items",
        "inside the imported days",
        "--fetch",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(service.simulator.ledger().requests, requests);

    let (found, code) = json(
        &service,
        &["trace", &number.to_string(), "--fetch", "--json"],
    )
    .await;
    assert_eq!(code, 0);
    assert_eq!(found["database"][0]["finding"], "loaded");
    assert_eq!(
        found["salla"]["id"].as_i64(),
        Some(id),
        "found by its number: {found}"
    );

    // An order that came after the import.
    let late = service
        .simulator
        .first_shop()
        .insert_order(salla_simulator::present());
    let (said, output) = trace(&service, &[&late.to_string()]).await;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("drafts and deleted orders are not listed"),
        "{said}"
    );
    assert!(said.contains(&certificate.range.to_string()), "{said}");
    let (said, output) = trace(&service, &[&late.to_string(), "--fetch"]).await;
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("it was created later"), "{said}");
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM salla.orders WHERE id = $1")
        .bind(late)
        .fetch_one(service.open.database.pool())
        .await
        .expect("orders can be counted");
    assert_eq!(rows, 0, "nothing is stored");

    // One that was deleted meanwhile.
    assert!(service.simulator.first_shop().delete_order(id));
    let (said, _) = trace(&service, &[&id.to_string(), "--fetch"]).await;
    assert!(said.contains("does not have it (any more)"), "{said}");
    let (_, output) = trace(&service, &["9223372036854775807", "--fetch"]).await;
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_shows_nobody_s_data() {
    let service = present_day(small(100)).await;
    completed(service.import().await.1);
    let pool = service.open.database.pool();
    type Person = (
        i64,
        Option<String>,
        Option<String>,
        Option<String>,
        Option<String>,
    );
    let (id, first, last, email, mobile): Person = sqlx::query_as(
        "SELECT id, first_name, last_name, email, mobile FROM salla.customers
         WHERE from_list AND email IS NOT NULL ORDER BY id LIMIT 1",
    )
    .fetch_one(pool)
    .await
    .expect("there is a customer");
    let arguments = [&id.to_string(), "--resource", "customers", "--fetch"];
    let (said, output) = trace(&service, &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("has it"), "{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    for secret in [first, last, email, mobile].into_iter().flatten() {
        assert!(
            !said.contains(&secret) && !errors.contains(&secret),
            "{secret}: {said}"
        );
    }
    assert!(!said.contains(service.simulator.access_token()));
}
