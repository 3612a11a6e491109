//! The certificate counts everything in one snapshot.

use domain::certificate::{MonthTotal, RejectionCount};
use domain::order::Order;
use domain::plan::DetailCase;
use domain::resource::Resource;
use importer::ports::platform::Records;
use importer::ports::runs::{RunOptions, Runs, Windows};
use rust_decimal::Decimal;

use crate::make::{at, customer, instant, money, ok, rejected, text, whole};
use crate::shop::{Shop, options, orders, range};

fn placed(id: i64, at: &str, currency: &str) -> Order {
    let mut order = whole(id);
    order.created_at = instant(at);
    order.total = money(10_000 + id);
    order.currency = text(currency);
    order
}

fn month(month: &str, currency: &str, orders: u64, cents: i64) -> MonthTotal {
    MonthTotal {
        month: month.parse().unwrap(),
        currency: currency.to_owned(),
        orders,
        total: Decimal::new(cents, 2),
        without_total: 0,
    }
}

#[tokio::test]
async fn it_says_what_the_tables_hold() {
    let shop = Shop::open().await;
    let records = vec![
        // The last second of May in Riyadh, then the first of June.
        ok(placed(1, "2025-05-31T20:59:59Z", "SAR")),
        ok(placed(2, "2025-05-31T21:00:00Z", "SAR")),
        ok(placed(3, "2025-06-02T10:00:00Z", "SAR")),
        ok(placed(4, "2025-06-02T10:00:00Z", "AED")),
        // The day before the range, which the overlap brings along.
        ok(placed(5, "2024-06-14T10:00:00Z", "SAR")),
        rejected(Some(6), "{}"),
    ];
    shop.land(1, at(0), orders(records)).await;
    shop.land(1, at(0), Records::Customers(vec![ok(customer(1))]))
        .await;
    for resource in [
        Resource::Products,
        Resource::Categories,
        Resource::OrderStatuses,
    ] {
        let records = match resource {
            Resource::Products => Records::Products(Vec::new()),
            Resource::Categories => Records::Categories(Vec::new()),
            _ => Records::OrderStatuses(Vec::new()),
        };
        shop.land(1, at(0), records).await;
    }
    let certificate = shop.runs.certify(shop.lease, at(60)).await.unwrap();
    assert_eq!(certificate.as_of, at(60));
    assert_eq!(
        (certificate.range, certificate.detail_case),
        (range(), DetailCase::Expanded)
    );
    assert_eq!(certificate.run_id, shop.lease.run);
    assert_eq!(certificate.windows.len(), 5);
    assert!(certificate.balances());
    assert_eq!(
        certificate.month_totals,
        [
            month("2025-05-01", "SAR", 1, 10_001),
            month("2025-06-01", "AED", 1, 10_004),
            month("2025-06-01", "SAR", 2, 20_005),
        ]
    );
    let rejections = [RejectionCount {
        resource: Resource::Orders,
        code: "invalid_amount".to_owned(),
        count: 1,
    }];
    assert_eq!(certificate.rejections, rejections);
    let summary = certificate.summary(Resource::Orders);
    assert_eq!(
        (summary.loaded, summary.rejected, summary.details_loaded),
        (5, 1, 5)
    );

    // Two sessions count where a second one is free.
    let mut taken = Vec::new();
    while taken.len() < 5 {
        taken.push(shop.db.pool().acquire().await.unwrap());
    }
    let alone = shop.runs.certify(shop.lease, at(60)).await.unwrap();
    assert_eq!(alone, certificate);
    drop(taken);
    let helped = shop.runs.certify(shop.lease, at(60)).await.unwrap();
    assert_eq!(helped, certificate);
}

#[tokio::test]
async fn a_first_try_answers_only_for_what_it_listed() {
    let mut shop = Shop::open().await;
    let old = [
        placed(1, "2025-06-01T10:00:00Z", "SAR"),
        placed(2, "2025-06-02T10:00:00Z", "SAR"),
    ];
    shop.land_orders(1, at(0), &old).await;
    let certificate = shop.runs.certify(shop.lease, at(1)).await.unwrap();
    shop.runs
        .fail(
            shop.lease,
            &domain::failure::Failure::Unbalanced {
                windows: 4,
                cause: domain::certificate::Imbalance::Moving,
            },
            Some(&certificate),
        )
        .await
        .unwrap();

    let few = RunOptions {
        max_orders: Some(1),
        ..options()
    };
    shop.begin(&few).await;
    shop.land_orders(1, at(10), &old[1..]).await;
    let window = shop.window(Resource::Orders).await;
    shop.runs
        .mark_window_done(shop.lease, window, true)
        .await
        .unwrap();
    let certificate = shop.runs.certify(shop.lease, at(20)).await.unwrap();
    assert_eq!(
        certificate.month_totals,
        [month("2025-06-01", "SAR", 1, 10_002)]
    );
    assert!(certificate.windows[0].listing.cut_short);
}

/// One record never stops a shop: each amount fits its column, their sum no number of ours.
#[tokio::test]
async fn a_month_of_enormous_totals_is_certified() {
    let shop = Shop::open().await;
    let enormous = |id, total| {
        let mut order = placed(id, "2025-06-02T10:00:00Z", "SAR");
        order.total = Some(domain::numbers::Money::new(total, "SAR"));
        ok(order)
    };
    let tiny = Decimal::new(1, 28);
    let records = vec![
        enormous(1, Decimal::MAX),
        enormous(2, Decimal::MAX),
        enormous(3, tiny),
    ];
    shop.land(1, at(0), orders(records)).await;
    let certificate = shop.runs.certify(shop.lease, at(60)).await.unwrap();
    let totals = certificate.month_totals;
    assert_eq!((totals[0].orders, totals[0].total), (3, Decimal::MAX));
}
