//! `salla-sync verify`, as typed.

use salla_simulator::{AppAge, InvalidRates, Original, Scenario, present};
use serde_json::Value;

use crate::process::{present_day, program, run};
use crate::reprocess::json;
use crate::service::{TestService, completed};
use crate::truth::small;

async fn execute(service: &TestService, sql: &'static str) -> u64 {
    let done = sqlx::query(sql).execute(service.open.database.pool()).await;
    done.expect("the tables can be changed").rows_affected()
}

async fn imported(scenario: Scenario) -> TestService {
    let service = present_day(scenario).await;
    completed(service.import().await.1);
    service
}

fn windows<'a>(report: &'a Value, meaning: &str) -> Vec<&'a Value> {
    let windows = report["windows"].as_array().expect("there are windows");
    windows.iter().filter(|w| w["meaning"] == meaning).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_imported_fits_to_the_last_field() {
    for app_age in [AppAge::Expanded, AppAge::FullDetails, AppAge::LightDetails] {
        let service = imported(Scenario {
            app_age,
            invalid: InvalidRates {
                orders: 0.02,
                ..InvalidRates::default()
            },
            ..small(400)
        })
        .await;
        let requests = service.simulator.ledger().requests;
        let (report, code) =
            json(&service, &["verify", "--deep", "--sample", "30", "--json"]).await;
        assert_eq!(code, 0, "{app_age:?}: {report:#}");
        assert_eq!(report["fits"], true);
        let all = report["windows"].as_array().expect("there are windows");
        assert_eq!(windows(&report, "fits").len(), all.len(), "{report:#}");
        let orders = report["orders"].as_array().expect("orders were compared");
        assert_eq!(orders.len(), 30);
        assert!(
            orders.iter().all(|o| o["outcome"] == "same"),
            "{app_age:?}: {orders:?}"
        );
        let asked = service.simulator.ledger().requests - requests;
        // One more finds out which shop it is.
        assert_eq!(
            report["cost"]["requests"].as_u64(),
            Some(asked - 1),
            "{app_age:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_and_went_since_is_distinguished_from_what_is_missing() {
    let service = imported(small(400)).await;
    let shop = service.simulator.first_shop();
    shop.insert_order(present());
    let (report, code) = json(&service, &["verify", "--json"]).await;
    assert_eq!(code, 0, "arrivals are no fault: {report:#}");
    let arrived = windows(&report, "arrived_since");
    assert_eq!(arrived.len(), 1);
    assert_eq!(
        (
            arrived[0]["records"].as_u64(),
            arrived[0]["difference"].as_i64()
        ),
        (Some(1), Some(1))
    );

    let oldest: i64 = sqlx::query_scalar("SELECT id FROM salla.orders ORDER BY created_at LIMIT 1")
        .fetch_one(service.open.database.pool())
        .await
        .expect("there is an order");
    assert!(shop.delete_order(oldest));
    let (report, code) = json(&service, &["verify", "--json"]).await;
    assert_eq!(
        (code, windows(&report, "deleted_since").len()),
        (0, 1),
        "{report:#}"
    );

    execute(
        &service,
        "DELETE FROM salla.orders WHERE id = (SELECT id FROM salla.orders
         ORDER BY created_at LIMIT 1 OFFSET 200)",
    )
    .await;
    let (report, code) = json(&service, &["verify", "--json"]).await;
    assert_eq!(code, 1);
    assert!(!windows(&report, "lost").is_empty(), "{report:#}");
    let output = run(program(&service, &["verify"])).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("MISSING: 1 were listed and are not in the database"),
        "{said}"
    );
    let before = String::from_utf8_lossy(&output.stderr);
    assert!(before.contains("requests, at least"), "{before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_differs_is_named_and_never_shown() {
    let service = imported(Scenario {
        app_age: AppAge::FullDetails,
        ..small(120)
    })
    .await;
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM salla.orders ORDER BY id LIMIT 3")
        .fetch_all(service.open.database.pool())
        .await
        .expect("there are orders");
    let shop = service.simulator.first_shop();
    assert!(shop.edit_order(ids[0], Original::Restored));
    let everything = ["verify", "--deep", "--sample", "500", "--json"];
    let (report, code) = json(&service, &everything).await;
    assert_eq!(code, 0, "Salla has changed it since: {report:#}");
    let of = |report: &Value, id: i64| {
        let orders = report["orders"].as_array().expect("orders were compared");
        let order = orders.iter().find(|o| o["id"] == id);
        order.expect("every order is in the sample").clone()
    };
    assert_eq!(of(&report, ids[0])["outcome"], "changed_since");

    execute(
        &service,
        "UPDATE salla.orders SET payment_method = 'CANARY', total = total + 1
         WHERE id = (SELECT id FROM salla.orders ORDER BY id LIMIT 1 OFFSET 1)",
    )
    .await;
    execute(
        &service,
        "UPDATE salla.order_items SET sku = 'CANARY' WHERE order_id =
         (SELECT id FROM salla.orders ORDER BY id LIMIT 1 OFFSET 2)",
    )
    .await;
    let (report, code) = json(&service, &everything).await;
    assert_eq!(code, 1);
    let second = of(&report, ids[1]);
    assert_eq!(
        second["fields"],
        serde_json::json!(["payment_method", "total"]),
        "{second}"
    );
    assert_eq!(of(&report, ids[2])["fields"], serde_json::json!(["items"]));
    assert!(!report.to_string().contains("CANARY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_import_there_is_nothing_to_compare() {
    let service = present_day(small(10)).await;
    let output = run(program(&service, &["verify"])).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("run `salla-sync import`"), "{errors}");
}

async fn count(service: &TestService, sql: &'static str) -> u64 {
    let count: i64 = sqlx::query_scalar(sql)
        .fetch_one(service.open.database.pool())
        .await
        .expect("rows can be counted");
    count.cast_unsigned()
}

/// What `verify` and `status` say of a table is what the table holds, and both say the same.
async fn counts_are_those_of_the_tables(service: &TestService) {
    let (report, code) = json(service, &["verify", "--json"]).await;
    assert_eq!(code, 0, "{report:#}");
    let all = report["windows"].as_array().expect("there are windows");
    assert_eq!(windows(&report, "fits").len(), all.len(), "{report:#}");
    let held = |resource: &str| -> u64 {
        let of_it = all.iter().filter(|w| w["resource"] == resource);
        of_it.filter_map(|w| w["held"].as_u64()).sum()
    };
    let (status, _) = json(service, &["status", "--json"]).await;
    let shown = |name: &str| status[0]["database"][name].as_u64();
    let orders = count(service, "SELECT count(*) FROM salla.orders").await;
    assert_eq!(held("orders"), orders);
    assert_eq!(shown("orders"), Some(orders));
    assert_eq!(shown("orders_with_items"), Some(orders));
    for resource in ["customers", "products"] {
        let sql = match resource {
            "customers" => "SELECT count(*) FROM salla.customers",
            _ => "SELECT count(*) FROM salla.products",
        };
        let rows = count(service, sql).await;
        assert_eq!(
            (held(resource), shown(resource)),
            (rows, Some(rows)),
            "{resource}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_counted_whichever_run_brought_its_rows() {
    let service = imported(small(300)).await;
    counts_are_those_of_the_tables(&service).await;
    let shop = service.simulator.first_shop();
    for _ in 0..7 {
        shop.insert_order(present());
    }
    let (report, _) = json(&service, &["verify", "--json"]).await;
    assert_eq!(windows(&report, "arrived_since")[0]["records"], 7);
    // In Riyadh, which is three hours ahead of UTC.
    let today = present() + jiff::SignedDuration::from_hours(3);
    let today = today.strftime("%Y-%m-%d").to_string();
    let today = [
        "resync",
        "--resource",
        "orders",
        "--from",
        &today,
        "--to",
        &today,
    ];
    let output = run(program(&service, &today)).await;
    assert!(output.status.success(), "{output:?}");
    counts_are_those_of_the_tables(&service).await;
    let output = run(program(&service, &["import", "--again"])).await;
    assert!(output.status.success(), "{output:?}");
    counts_are_those_of_the_tables(&service).await;
}
