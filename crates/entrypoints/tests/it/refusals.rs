//! What the database refuses stops no shop.

use domain::failure::Failure;
use domain::resource::Resource;
use importer::import::ImportOutcome;
use salla_simulator::{AppAge, Scenario};

use crate::process::present_day;
use crate::reprocess::json;
use crate::service::{TestService, completed};
use crate::truth::small;

fn with_long_skus(app_age: AppAge) -> Scenario {
    let mut scenario = small(300);
    scenario.app_age = app_age;
    scenario.shop.long_skus = 2;
    scenario
}

async fn execute(service: &TestService, sql: &'static str) {
    let done = sqlx::raw_sql(sql)
        .execute(service.open.database.pool())
        .await;
    done.expect("the tables can be changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_any_length_arrive_whole() {
    for app_age in [AppAge::Expanded, AppAge::LightDetails] {
        let service = TestService::start(with_long_skus(app_age)).await;
        service.import_and_compare().await;
    }
}

/// An index of the shop's own analysts, say.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_is_rejected_and_loads_once_nothing_refuses_it() {
    let service = present_day(with_long_skus(AppAge::Expanded)).await;
    execute(&service, "CREATE INDEX ours ON salla.products (sku)").await;
    let (merchant, outcome) = service.import().await;
    let certificate = completed(outcome);
    let products = certificate.summary(Resource::Products);
    assert_eq!((products.loaded, products.rejected), (38, 2));
    assert_eq!(certificate.summary(Resource::Orders).rejected, 0);

    let (rejected, _) = json(&service, &["rejected", "--json"]).await;
    let rejected = rejected.as_array().expect("a list");
    assert_eq!(rejected.len(), 2);
    for record in rejected {
        assert_eq!(record["code"], "refused_by_database");
        assert_eq!(record["json_path"], "products.sku");
        let message = record["message"].as_str().expect("a sentence");
        assert!(
            message.contains("54000") && message.contains("ours"),
            "{message}"
        );
    }
    let (replayed, _) = json(&service, &["rejected", "replay", "--json"]).await;
    assert_eq!(replayed[0]["loaded"].as_u64(), Some(0), "{replayed}");
    execute(&service, "DROP INDEX salla.ours").await;
    let (replayed, _) = json(&service, &["rejected", "replay", "--json"]).await;
    assert_eq!(replayed[0]["loaded"].as_u64(), Some(2), "{replayed}");
    let differences = service.compare_rows(merchant, certificate.range).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_that_are_refused_take_no_order_with_them() {
    for app_age in [AppAge::Expanded, AppAge::LightDetails] {
        let service = TestService::start(Scenario {
            app_age,
            ..small(300)
        })
        .await;
        execute(
            &service,
            "ALTER TABLE salla.customers ADD CONSTRAINT numbers CHECK (mobile !~ '7$')",
        )
        .await;
        let (_, outcome) = service.import().await;
        let certificate = completed(outcome);
        let customers = certificate.summary(Resource::Customers);
        assert!(customers.rejected > 0, "{app_age:?}: {customers:?}");
        let orders = certificate.summary(Resource::Orders);
        assert_eq!(orders.rejected, 0, "{app_age:?}: {orders:?}");
        assert_eq!(orders.details_needed, orders.details_loaded, "{app_age:?}");
    }
}

/// Then it is not the records that are wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_that_refuses_all_ends_the_run_with_a_reason() {
    let service = TestService::start(small(300)).await;
    execute(
        &service,
        "ALTER TABLE salla.orders ADD CHECK (currency = 'XXX') NOT VALID",
    )
    .await;
    let (_, outcome) = service.import().await;
    let ImportOutcome::Failed { failure, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        matches!(
            failure,
            Failure::TooManyRejections {
                code: "refused_by_database",
                ..
            }
        ),
        "{failure}"
    );
}
