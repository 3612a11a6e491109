//! Reading a part of a shop: further back, or again.

use domain::resource::Resource;
use domain::window::DayRange;
use importer::ports::runs::{RunOptions, RunScope};
use jiff::ToSpan as _;
use salla_simulator::{AppAge, Endpoint, Scenario, ShopSpec};

use crate::service::{TestService, completed};
use crate::truth::small;

fn two_years(orders: u64) -> Scenario {
    Scenario {
        shop: ShopSpec {
            months: 26,
            ..small(orders).shop
        },
        app_age: AppAge::FullDetails,
        ..small(orders)
    }
}

fn only(resource: Resource, days: Option<DayRange>) -> RunOptions {
    RunOptions {
        months: 24,
        max_orders: None,
        keep_raw: true,
        only: Some(RunScope { resource, days }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn going_further_back_reads_only_what_is_older() {
    let mut service = TestService::start(two_years(600)).await;
    let (merchant, outcome) = service.import().await;
    let year = completed(outcome).range;
    let details = |service: &TestService| {
        let ledger = service.simulator.ledger();
        ledger
            .by_endpoint
            .get(&Endpoint::Order)
            .copied()
            .unwrap_or(0)
    };
    let before = details(&service);

    let gap = DayRange {
        from: year.to.saturating_sub(24.months()),
        to: year.from.saturating_sub(1.day()),
    };
    service.options = only(Resource::Orders, Some(gap));
    let certificate = completed(service.import().await.1);
    assert_eq!(certificate.range, gap);
    let resources = certificate.windows.iter().map(|w| w.listing.resource);
    assert!(resources.clone().all(|r| r == Resource::Orders));
    assert!(resources.count() >= 1);
    let both = DayRange {
        from: gap.from,
        to: year.to,
    };
    assert_eq!(service.compare_rows(merchant, both).await, [""; 0]);
    // The oldest window asks for the day before it as well.
    let truth = service.simulator.shop();
    let older = truth.truth_orders(gap.from.saturating_sub(1.day()), gap.to);
    let asked = details(&service) - before;
    assert!(
        asked <= older.count() as u64 + 10,
        "{asked} details were asked for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_read_again_is_put_right_and_the_rest_is_left_alone() {
    let mut service = TestService::start(two_years(500)).await;
    let (merchant, outcome) = service.import().await;
    let range = completed(outcome).range;
    let pool = service.open.database.pool().clone();
    let month = DayRange {
        from: range.to.saturating_sub(100.days()),
        to: range.to.saturating_sub(60.days()),
    };
    let lost = sqlx::query(
        "DELETE FROM salla.orders WHERE riyadh_date BETWEEN $1::text::date AND $2::text::date",
    )
    .bind(month.from.to_string())
    .bind(month.to.to_string())
    .execute(&pool)
    .await
    .expect("rows can be deleted")
    .rows_affected();
    assert!(lost > 5, "{lost}");
    service.options = only(Resource::Orders, Some(month));
    let certificate = completed(service.import().await.1);
    assert!(
        certificate
            .windows
            .iter()
            .all(|w| w.listing.resource == Resource::Orders)
    );
    assert_eq!(service.compare_rows(merchant, range).await, [""; 0]);

    let product = service.simulator.first_shop().insert_product();
    service.options = only(Resource::Products, None);
    let certificate = completed(service.import().await.1);
    assert!(certificate.month_totals.is_empty());
    assert_eq!(certificate.windows.len(), 1);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM salla.products WHERE id = $1")
        .bind(product)
        .fetch_one(&pool)
        .await
        .expect("products can be counted");
    assert_eq!(rows, 1);
    assert_eq!(service.compare_rows(merchant, range).await, [""; 0]);
}

/// The finished import is still known to be finished after a part was read again: what has
/// changed since it is all that is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_does_not_hide_that_everything_was_imported() {
    let mut service = TestService::start(two_years(200)).await;
    completed(service.import().await.1);
    let everything = service.options.clone();
    service.options = only(Resource::Categories, None);
    completed(service.import().await.1);
    service.options = everything;
    let before = service.simulator.ledger().requests;
    completed(service.import().await.1);
    let requests = service.simulator.ledger().requests - before;
    assert!(requests <= 12, "{requests}");
}
