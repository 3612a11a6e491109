//! What an import leaves behind equals what the simulator knows to be true.

use domain::resource::Resource;
use importer::import::ImportOutcome;
use importer::stop::stop_pair;
use salla_simulator::{AppAge, InvalidRates, Plan, Quirks, Scenario, ShopSpec};

use crate::service::{TestService, completed};

pub(crate) fn small(orders: u64) -> Scenario {
    Scenario {
        shop: ShopSpec {
            orders,
            customers: orders / 5,
            products: 40,
            categories: 8,
            months: 14,
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calm_shop_arrives_whole_whatever_the_age_of_the_app() {
    for app_age in [AppAge::Expanded, AppAge::FullDetails, AppAge::LightDetails] {
        let service = TestService::start(Scenario {
            app_age,
            ..small(600)
        })
        .await;
        let certificate = service.import_and_compare().await;
        let orders = certificate.summary(Resource::Orders);
        assert_eq!(orders.details_needed, orders.details_loaded, "{app_age:?}");
        assert!(orders.loaded > 400, "{app_age:?}: {orders:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn salla_s_oddities_change_nothing_and_broken_records_are_rejected() {
    for app_age in [AppAge::Expanded, AppAge::LightDetails] {
        let service = TestService::start(Scenario {
            app_age,
            quirks: Quirks {
                string_numbers: 0.2,
                empty_forms: 0.2,
                literal_null: 0.2,
                date_forms: 0.2,
                ..Quirks::default()
            },
            invalid: InvalidRates {
                orders: 0.02,
                customers: 0.02,
                products: 0.05,
            },
            ..small(900)
        })
        .await;
        let certificate = service.import_and_compare().await;
        let rejected = certificate.summary(Resource::Orders).rejected;
        assert!(rejected > 3, "{app_age:?}: {rejected} orders were rejected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clamp_of_thirty_rows_loses_nothing() {
    let service = TestService::start(Scenario {
        orders_page_cap: 30,
        ..small(700)
    })
    .await;
    service.import_and_compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_shop_and_a_shop_of_one_order_complete() {
    for orders in [0, 1] {
        let service = TestService::start(small(orders)).await;
        service.import_and_compare().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_import_is_not_repeated_and_what_has_not_changed_is_hardly_asked_for() {
    let service = TestService::start(small(300)).await;
    service.import_and_compare().await;
    let requests = service.simulator.ledger().requests;
    service.import_and_compare().await;
    let requests = service.simulator.ledger().requests - requests;
    assert!(requests <= 12, "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_stopped_goes_on_and_ends_complete() {
    let mut scenario = small(1_500);
    scenario.latency.fixed_ms = 20;
    let service = TestService::start(scenario).await;
    let (handle, stop) = stop_pair();
    let stopping = async {
        service.simulator.until_requests(20).await;
        handle.stop();
    };
    let ((merchant, outcome), ()) = tokio::join!(service.import_until(stop), stopping);
    assert!(
        matches!(outcome, ImportOutcome::Interrupted(_)),
        "{outcome:?}"
    );
    let (_, outcome) = service.import().await;
    service.compare(merchant, &completed(outcome)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_try_takes_the_newest_orders() {
    let mut service = TestService::start(small(900)).await;
    service.options.max_orders = Some(100);
    let (_, outcome) = service.import().await;
    let certificate = completed(outcome);
    assert_eq!(certificate.summary(Resource::Orders).loaded, 100);
    assert!(service.simulator.ledger().requests < 30);
}
