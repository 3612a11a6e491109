//! Both ends of a date filter, and dates that are not what they say.

use crate::client::{all_rows, get};
use crate::reader::{day, moment};
use salla_simulator::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// An empty shop with one order and one customer around each end of two days
/// in Riyadh and in UTC.
async fn start(moments: &[&str], filter: DateFilter) -> Simulator {
    let mut scenario = Scenario {
        shop: ShopSpec {
            orders: 0,
            customers: 0,
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        date_filter: filter,
        ..Scenario::default()
    };
    scenario.limits.customers.enabled = false;
    let sim = Simulator::start(scenario).await.unwrap();
    for moment in moments {
        sim.first_shop().insert_order(moment.parse().unwrap());
        sim.first_shop().insert_customer(moment.parse().unwrap());
    }
    sim
}

fn moments_of(rows: &[Value], field: &str) -> Vec<String> {
    let text = |row: &Value| {
        let moment = moment(&row[field]).unwrap();
        jiff::Timestamp::from_second(moment).unwrap().to_string()
    };
    let mut moments: Vec<String> = rows.iter().map(text).collect();
    moments.sort();
    moments
}

#[tokio::test]
async fn bounds_belong_to_the_range_or_not_in_either_zone() {
    // The first and last seconds of 9, 10 and 11 June 2025.
    let in_riyadh = [
        "2025-06-08T20:59:59Z",
        "2025-06-08T21:00:00Z",
        "2025-06-09T20:59:59Z",
        "2025-06-09T21:00:00Z",
        "2025-06-10T20:59:59Z",
        "2025-06-10T21:00:00Z",
        "2025-06-11T20:59:59Z",
        "2025-06-11T21:00:00Z",
    ];
    let in_utc = in_riyadh.map(|moment| {
        let moment: jiff::Timestamp = moment.parse().unwrap();
        (moment + jiff::SignedDuration::from_hours(3)).to_string()
    });
    let in_utc = in_utc.each_ref().map(String::as_str);
    for (zone, moments) in [(FilterZone::Riyadh, in_riyadh), (FilterZone::Utc, in_utc)] {
        for (from_inclusive, to_inclusive) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            let filter = DateFilter {
                from_inclusive,
                to_inclusive,
                zone,
            };
            let sim = start(&moments, filter).await;
            let first = if from_inclusive { 1 } else { 3 };
            let end = if to_inclusive { 7 } else { 5 };
            let lists = [
                ("/orders?from_date=2025-06-09&to_date=2025-06-11", "date"),
                (
                    "/customers?date_from=2025-06-09&date_to=2025-06-11",
                    "created_at",
                ),
            ];
            for (path, field) in lists {
                let rows = all_rows(&sim, path).await;
                let expected = &moments[first..end];
                assert_eq!(moments_of(&rows, field), expected, "{filter:?} {path}");
            }
        }
    }
}

#[tokio::test]
async fn the_bounds_of_customers_may_be_swapped_or_do_nothing() {
    let moments = ["2025-01-10T09:00:00Z", "2025-03-10T09:00:00Z"];
    let sim = start(&moments, DateFilter::default()).await;
    let count = async |query: &str| all_rows(&sim, &format!("/customers?{query}")).await.len();
    assert_eq!(count("date_from=2025-02-01&date_to=2025-12-31").await, 1);
    assert_eq!(count("date_from=2025-04-01").await, 0);
    sim.set(|scenario| scenario.customer_dates = CustomerDates::Swapped);
    assert_eq!(count("date_from=2025-02-01&date_to=2025-12-31").await, 0);
    assert_eq!(count("date_from=2025-04-01").await, 2);
    sim.set(|scenario| scenario.customer_dates = CustomerDates::Ignored);
    assert_eq!(count("date_from=2025-02-01").await, 2);
}

/// Ids and rows of a list of products.
async fn products(sim: &Simulator, query: &str) -> Vec<(i64, Value)> {
    let rows = all_rows(sim, &format!("/products?{query}")).await;
    let with_id = |row: Value| (row["id"].as_i64().unwrap(), row);
    rows.into_iter().map(with_id).collect()
}

#[tokio::test]
async fn products_are_filtered_by_status_and_category_unless_that_is_ignored() {
    let scenario = Scenario {
        shop: ShopSpec {
            orders: 0,
            products: 400,
            categories: 5,
            uncategorised_share: 0.1,
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    };
    let sim = Simulator::start(scenario).await.unwrap();
    let all = products(&sim, "x=").await;
    let in_category = |row: &Value, id: &Value| {
        let categories = row["categories"].as_array().unwrap();
        categories.iter().any(|category| category["id"] == *id)
    };
    let listed = all_rows(&sim, "/categories").await;
    let mut by_category = BTreeSet::new();
    for status in ["sale", "out", "hidden"] {
        let found = products(&sim, &format!("status={status}")).await;
        let expected = all.iter().filter(|(_, row)| row["status"] == status);
        let ids = |rows: &[(i64, Value)]| rows.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let expected: Vec<i64> = expected.map(|(id, _)| *id).collect();
        assert_eq!(ids(&found), expected, "{status}");
        let id = &listed[0]["id"];
        let query = format!("status={status}&category={id}");
        let expected = found.iter().filter(|(_, row)| in_category(row, id));
        let expected: Vec<i64> = expected.map(|(id, _)| *id).collect();
        assert_eq!(ids(&products(&sim, &query).await), expected, "{query}");
    }
    let top = listed.iter().map(|row| &row["id"]);
    let below = listed
        .iter()
        .flat_map(|row| row["sub_categories"].as_array());
    let below = below.flatten().map(|row| &row["id"]);
    for id in top.chain(below) {
        let found = products(&sim, &format!("category={id}")).await;
        by_category.extend(found.into_iter().map(|(id, _)| id));
    }
    let categorised = all.iter().filter(|(_, row)| row["categories"] != json!([]));
    assert_eq!(by_category.len(), categorised.count());
    assert!(
        (340..380).contains(&by_category.len()),
        "{}",
        by_category.len()
    );
    assert_eq!(
        products(&sim, "category=1").await.len(),
        0,
        "not of this shop"
    );
    sim.set(|scenario| scenario.product_filters = ProductFilters::Ignored);
    assert_eq!(products(&sim, "status=out&category=1").await.len(), 400);
}

/// A filter's cached result is not shown once it is outdated.
#[tokio::test]
async fn filtered_products_follow_what_changes() {
    let sim = start(&[], DateFilter::default()).await;
    let before = products(&sim, "status=sale").await.len();
    let gone = products(&sim, "status=sale").await[0].0;
    assert!(sim.first_shop().delete_product(gone));
    assert_eq!(products(&sim, "status=sale").await.len(), before - 1);
}

/// A client cannot know that the label is wrong, so the truth is what it says.
#[tokio::test]
async fn dates_in_utc_labelled_riyadh_are_true_as_labelled() {
    // Half past one at night on 10 June, and noon.
    let moments = ["2025-06-09T22:30:00Z", "2025-06-10T09:00:00Z"];
    let sim = start(&moments, DateFilter::default()).await;
    sim.set(|scenario| scenario.quirks.utc_labelled_dates = true);
    let path = "/orders?from_date=2025-06-10&to_date=2025-06-10&sort_by=created_at-asc";
    let rows = all_rows(&sim, path).await;
    assert_eq!(rows[0]["date"]["date"], "2025-06-09 22:30:00.000000");
    assert_eq!(rows[0]["date"]["timezone"], "Asia/Riyadh");
    let read: BTreeSet<_> = rows
        .iter()
        .map(|row| moment(&row["date"]).unwrap())
        .collect();
    let shop = sim.shop();
    let truth: Vec<_> = shop
        .truth_orders(day("2000-01-01"), day("2100-01-01"))
        .collect();
    assert_eq!(read, truth.iter().map(|order| order.created_at).collect());
    let days: Vec<_> = truth.iter().map(|order| order.riyadh_date).collect();
    assert_eq!(days, [day("2025-06-09"), day("2025-06-10")]);
    let of_day = sim.truth(day("2025-06-10"), day("2025-06-10"));
    assert_eq!(of_day.orders, 1);
}

#[tokio::test]
async fn every_endpoint_works_in_a_shop_with_nothing_or_one_of_each() {
    for count in [0, 1] {
        let sim = Simulator::start(Scenario {
            shop: ShopSpec {
                orders: count,
                customers: count,
                products: count,
                categories: count,
                custom_statuses: Vec::new(),
                ..ShopSpec::default()
            },
            ..Scenario::default()
        })
        .await
        .unwrap();
        let lists = [
            "/orders?expanded=true",
            "/orders?sort_by=updated_at-desc",
            "/orders?sort_by=created_at-asc&from_date=2000-01-01&to_date=2100-01-01",
            "/customers?date_from=2000-01-01",
            "/products",
            "/products?format=light",
            "/categories",
        ];
        for path in lists {
            let list = get(&sim, path).await.json();
            assert_eq!(list["pagination"]["total"], count, "{path}");
            assert_eq!(
                list["data"].as_array().unwrap().len() as u64,
                count,
                "{path}"
            );
            assert_eq!(list["pagination"]["totalPages"], 1, "{path}");
        }
        for path in ["/store/info", "/orders/statuses", "/oauth2/user/info"] {
            assert_eq!(get(&sim, path).await.status, 200, "{path}");
        }
        let one = async |list: &str| get(&sim, list).await.json()["data"][0]["id"].clone();
        let expected = if count == 0 { 404 } else { 200 };
        let order = one("/orders").await;
        let details = [
            format!("/orders/{order}"),
            format!("/orders/items?order_id={}", order.as_i64().unwrap_or(1)),
            format!("/customers/{}", one("/customers").await),
            format!("/products/{}", one("/products").await),
            format!("/products/{}/variants", one("/products").await),
        ];
        for path in details {
            assert_eq!(get(&sim, &path).await.status, expected, "{path}");
        }
        let truth = sim.truth(day("2000-01-01"), day("2100-01-01"));
        assert_eq!([truth.orders, truth.customers, truth.products], [count; 3]);
    }
}
