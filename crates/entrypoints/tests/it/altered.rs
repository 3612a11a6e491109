//! Rows that were changed or deleted by hand are noticed, table by table, and the next reading of
//! the record restores them, whether or not the record changed and its text was stored.

use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::ports::runs::RunScope;
use salla_simulator::AppAge;
use sqlx::AssertSqlSafe;

use crate::process::{present_day, program, run};
use crate::reprocess::json;
use crate::service::{TestService, completed};
use crate::truth::small;

/// Each table of a shop, the resource that its rows belong to, and a change that no count sees.
const TABLES: [(&str, Resource, &str); 9] = [
    (
        "orders",
        Resource::Orders,
        "status_slug = 'canceled', payment_method = 'x', exchange_rate = 9, customer_id = 1",
    ),
    (
        "order_items",
        Resource::Orders,
        "name = 'x', unit_price = 0, product_id = 1",
    ),
    (
        "order_discounts",
        Resource::Orders,
        "code = 'x', amount = 0",
    ),
    ("customers", Resource::Customers, "email = 'x', city = 'x'"),
    ("products", Resource::Products, "price = 0, name = 'x'"),
    (
        "product_variants",
        Resource::Products,
        "price = 0, option_value_ids = '{}'",
    ),
    ("product_categories", Resource::Products, "category_id = 1"),
    ("categories", Resource::Categories, "name = 'x'"),
    ("order_statuses", Resource::OrderStatuses, "slug = 'x'"),
];

async fn shop(app_age: AppAge, keep_raw: bool) -> (TestService, MerchantId) {
    let mut service = present_day(salla_simulator::Scenario {
        app_age,
        ..small(60)
    })
    .await;
    service.options.keep_raw = keep_raw;
    // Longer than the shop is old: what is read once more is never more than before.
    service.options.months = 24;
    // Some customers are known only from their orders.
    let handle = service.simulator.first_shop();
    let view = handle.view();
    let listed: Vec<i64> = view.truth_customers().map(|customer| customer.id).collect();
    for customer in listed.iter().take(3) {
        assert!(handle.delete_customer(*customer));
    }
    let (merchant, outcome) = service.import().await;
    completed(outcome);
    (service, merchant)
}

async fn execute(service: &TestService, sql: &str) {
    let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(service.open.database.pool())
        .await;
    assert!(
        done.expect("rows can be changed").rows_affected() > 0,
        "{sql}"
    );
}

/// All rows of all tables.
async fn rows(service: &TestService) -> Vec<String> {
    let mut all = Vec::new();
    for (table, ..) in TABLES {
        let sql = format!("SELECT '{table}' || t::text FROM salla.{table} t ORDER BY t::text");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(service.open.database.pool())
            .await
            .expect("the tables can be read");
        assert!(!rows.is_empty(), "{table}");
        all.extend(rows);
    }
    all
}

fn differences(before: &[String], after: &[String]) -> Vec<String> {
    let lacking = before.iter().filter(|row| !after.contains(row));
    let odd = after.iter().filter(|row| !before.contains(row));
    let lacking = lacking.map(|row| format!("lacks {row}"));
    lacking.chain(odd.map(|row| format!("has {row}"))).collect()
}

/// How many records of the resource are not what was read.
async fn differing(service: &TestService, merchant: MerchantId, resource: Resource) -> u64 {
    let run = service.open.runs().latest_full(merchant).await;
    let run = run.expect("the run can be read").expect("there is a run");
    let windows = service
        .open
        .inventory()
        .count_windows(&run)
        .await
        .expect("the windows can be counted");
    let windows = windows.iter().map(|window| &window.counts);
    let of_it = windows.filter(|counts| counts.listing.resource == resource);
    of_it
        .map(|counts| {
            let missing = counts.listing.listed() - counts.loaded - counts.rejected - counts.gone;
            missing + counts.inside.differing
        })
        .sum()
}

/// Another number of months makes another run, as `--again` does.
async fn import_again(service: &mut TestService) {
    service.options.months += 1;
    completed(service.import().await.1);
}

async fn each_table_is_mended(app_age: AppAge, keep_raw: bool) {
    let (mut service, merchant) = shop(app_age, keep_raw).await;
    let before = rows(&service).await;
    for (table, resource, change) in TABLES {
        assert_eq!(differing(&service, merchant, resource).await, 0, "{table}");
        for sql in [
            format!("UPDATE salla.{table} SET {change}"),
            format!("DELETE FROM salla.{table}"),
        ] {
            execute(&service, &sql).await;
            assert!(differing(&service, merchant, resource).await > 0, "{sql}");
            import_again(&mut service).await;
            let after = rows(&service).await;
            let differences = differences(&before, &after);
            assert!(
                differences.is_empty() && before.len() == after.len(),
                "{app_age:?}, raw {keep_raw}: {sql}\n{}",
                differences.join("\n")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_again_mends_every_table_where_lists_give_whole_orders() {
    each_table_is_mended(AppAge::Expanded, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_again_mends_every_table_where_orders_need_details() {
    each_table_is_mended(AppAge::LightDetails, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_again_mends_every_table_of_whole_orders_without_raw_records() {
    each_table_is_mended(AppAge::Expanded, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_again_mends_every_table_of_details_without_raw_records() {
    each_table_is_mended(AppAge::FullDetails, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resync_and_remap_mend_what_they_read() {
    for app_age in [AppAge::Expanded, AppAge::LightDetails] {
        let (mut service, merchant) = shop(app_age, true).await;
        let before = rows(&service).await;
        let range = service
            .open
            .runs()
            .latest(merchant)
            .await
            .unwrap()
            .unwrap()
            .range;
        for (table, resource, change) in TABLES {
            execute(&service, &format!("UPDATE salla.{table} SET {change}")).await;
            let everything = service.options.clone();
            // Customers whom only orders name come back with their orders.
            let resources = match resource {
                Resource::Customers => vec![resource, Resource::Orders],
                _ => vec![resource],
            };
            for resource in resources {
                service.options.only = Some(RunScope {
                    resource,
                    days: resource.has_windows().then_some(range),
                });
                completed(service.import().await.1);
            }
            service.options = everything;
            let told = differences(&before, &rows(&service).await);
            assert!(
                told.is_empty(),
                "resync, {app_age:?} {table}\n{}",
                told.join("\n")
            );

            execute(&service, &format!("DELETE FROM salla.{table}")).await;
            let (report, code) = json(&service, &["remap", "--json"]).await;
            assert_eq!(code, 0, "{report:#}");
            let told = differences(&before, &rows(&service).await);
            assert!(
                told.is_empty(),
                "remap, {app_age:?} {table}\n{}",
                told.join("\n")
            );
            let left = "SELECT count(*) FROM salla_sync.altered_records";
            let left: i64 = sqlx::query_scalar(left)
                .fetch_one(service.open.database.pool())
                .await
                .unwrap();
            assert_eq!(left, 0, "{app_age:?} {table}");
        }
    }
}

/// The command, and the command that it advises.
#[tokio::test(flavor = "multi_thread")]
async fn verify_names_the_command_that_puts_it_back() {
    let (service, _) = shop(AppAge::LightDetails, false).await;
    for sql in [
        "UPDATE salla.orders SET total = total, status_slug = 'canceled'",
        "TRUNCATE salla.order_items",
    ] {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned()));
        done.execute(service.open.database.pool()).await.unwrap();
        let output = run(program(&service, &["verify"])).await;
        let (said, advice) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert_eq!(output.status.code(), Some(1), "{sql}: {said}");
        assert!(said.contains("ALTERED"), "{said}");
        assert!(advice.contains("`salla-sync import --again`"), "{advice}");
        assert!(!advice.contains("remap"), "no raw record is kept: {advice}");
        let again = run(program(&service, &["import", "--again", "--no-raw"])).await;
        assert!(again.status.success(), "{:?}", again);
        let output = run(program(&service, &["verify", "--deep"])).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
}
