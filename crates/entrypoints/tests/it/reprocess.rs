//! Kept raw texts, read again by the program.

use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::testing::clock::a_moment;
use salla_simulator::{AppAge, InvalidRates, Scenario};
use serde_json::Value;

use crate::process::{present_day, program, run};
use crate::service::{TestService, completed};
use crate::truth::small;

/// Runs the program and reads its JSON; also gives the exit code.
pub(crate) async fn json(service: &TestService, arguments: &[&str]) -> (Value, i32) {
    let output = run(program(service, arguments)).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = serde_json::from_slice(&output.stdout);
    let printed = printed.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {errors}"));
    (printed, output.status.code().expect("it was not killed"))
}

async fn execute(service: &TestService, sql: &'static str) -> u64 {
    let done = sqlx::query(sql).execute(service.open.database.pool()).await;
    done.expect("the tables can be changed").rows_affected()
}

/// Undoes the landing of some records, as if the program had not understood them.
async fn forget(service: &TestService, merchant: MerchantId, resource: Resource, kind: &str) {
    let records = service.open.records();
    let stored = records.stored(merchant, resource, 0, 5).await;
    let stored = stored.expect("the records can be read");
    assert_eq!(stored.len(), 5, "{resource}");
    for record in stored {
        let id = record.salla_id;
        let text = record.listed.or(record.detail);
        let raw = text.expect("its text is kept").raw;
        sqlx::query(
            "INSERT INTO salla_sync.rejected_records
                (merchant_id, run_id, resource, kind, record_key, salla_id, code, json_path,
                 message, raw, version, window_id, page, first_seen_at, last_seen_at)
             SELECT $1, r.id, $2::text::salla_sync.resource, $3, $4::text, $4, 'invalid_field',
                    '$', 'not understood', $5, coalesce(s.list_version, s.detail_version), 1, 1,
                    now(), now()
             FROM salla_sync.sync_runs r
             JOIN salla_sync.source_records s ON s.merchant_id = r.merchant_id
             WHERE r.merchant_id = $1 AND s.resource = $2::text::salla_sync.resource
               AND s.salla_id = $4",
        )
        .bind(merchant.0)
        .bind(resource.as_str())
        .bind(kind)
        .bind(id)
        .bind(raw)
        .execute(service.open.database.pool())
        .await
        .expect("a rejection can be made up");
    }
    for table in ["orders", "customers", "products"] {
        let sql = format!(
            "DELETE FROM salla.{table} t USING salla_sync.rejected_records x
             WHERE x.resource::text = '{table}' AND t.id = x.salla_id AND x.code = 'invalid_field'"
        );
        let delete = sqlx::query(sqlx::AssertSqlSafe(sql));
        let delete = delete.execute(service.open.database.pool()).await;
        delete.expect("rows can be deleted");
    }
    execute(
        service,
        "DELETE FROM salla_sync.source_records s USING salla_sync.rejected_records x
         WHERE x.resource = s.resource AND s.salla_id = x.salla_id AND x.code = 'invalid_field'",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_records_that_are_understood_now_arrive_without_a_request() {
    let service = present_day(Scenario {
        invalid: InvalidRates {
            orders: 0.02,
            customers: 0.02,
            products: 0.05,
        },
        ..small(400)
    })
    .await;
    let (merchant, outcome) = service.import().await;
    let certificate = completed(outcome);
    let rejected: u64 = certificate.rejections.iter().map(|r| r.count).sum();
    assert!(rejected > 3, "{rejected} records are really bad");
    forget(&service, merchant, Resource::Orders, "order_header").await;
    forget(&service, merchant, Resource::Customers, "customer").await;
    forget(&service, merchant, Resource::Products, "product").await;
    assert!(
        !service
            .compare_rows(merchant, certificate.range)
            .await
            .is_empty()
    );

    let requests = service.simulator.ledger().requests;
    let only_orders = ["rejected", "replay", "--json", "--resource", "orders"];
    let (orders, code) = json(&service, &only_orders).await;
    assert_eq!(
        (orders[0]["loaded"].as_u64(), code),
        (Some(5), 0),
        "{orders}"
    );
    let (all, code) = json(&service, &["rejected", "replay", "--json"]).await;
    assert_eq!((all[0]["loaded"].as_u64(), code), (Some(10), 0), "{all}");
    assert_eq!(all[0]["still_rejected"].as_u64(), Some(rejected));
    assert_eq!(all[0]["reason_changed"].as_u64(), Some(0), "{all}");
    assert_eq!(service.simulator.ledger().requests, requests);
    service.compare(merchant, &certificate).await;
    let (none, _) = json(&service, &["rejected", "replay", "--json"]).await;
    assert_eq!(none[0]["loaded"].as_u64(), Some(0), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_better_reading_puts_every_row_right_without_a_request() {
    for app_age in [AppAge::Expanded, AppAge::LightDetails] {
        let service = present_day(Scenario {
            app_age,
            ..small(300)
        })
        .await;
        let (merchant, outcome) = service.import().await;
        let certificate = completed(outcome);
        let misread = execute(
            &service,
            "UPDATE salla.orders SET payment_method = 'misread' WHERE id % 3 = 0",
        )
        .await
            + execute(&service, "UPDATE salla.products SET name = 'misread'").await;
        assert!(misread > 40, "{misread}");
        let requests = service.simulator.ledger().requests;
        let (remapped, code) = json(&service, &["remap", "--json"]).await;
        assert_eq!(code, 0);
        assert_eq!(
            remapped[0]["changed"].as_u64(),
            Some(misread),
            "{app_age:?}"
        );
        assert_eq!(remapped[0]["rejected"].as_u64(), Some(0));
        assert_eq!(service.simulator.ledger().requests, requests);
        service.compare(merchant, &certificate).await;
        let (again, _) = json(&service, &["remap", "--json"]).await;
        assert_eq!(again[0]["changed"].as_u64(), Some(0), "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_holds_the_shop_is_not_disturbed() {
    let mut scenario = small(2_000);
    scenario.latency.fixed_ms = 50;
    let service = present_day(scenario).await;
    let import = tokio::spawn(run(program(&service, &["import"])));
    service.simulator.until_requests(20).await;
    // Something has landed by then, so there is something to read again.
    while execute(&service, "UPDATE salla.categories SET name = name").await == 0 {
        a_moment().await;
    }
    let refused = run(program(&service, &["remap"])).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("is importing this shop"), "{said}");
    assert!(import.await.expect("it ends").status.success());
}
