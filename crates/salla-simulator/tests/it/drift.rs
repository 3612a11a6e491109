//! Shops that change between two pages.

use crate::client::get;
use crate::reader::day;
use salla_simulator::*;
use serde_json::Value;
use std::collections::BTreeSet;

fn scenario(orders: ResourceDrift) -> Scenario {
    let mut scenario = Scenario {
        shop: ShopSpec {
            orders: 600,
            customers: 400,
            products: 300,
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        drift: Drift {
            seed: 5,
            orders,
            ..Drift::default()
        },
        ..Scenario::default()
    };
    scenario.clock.scale = 0.0;
    scenario
}

pub(crate) async fn start(orders: ResourceDrift) -> Simulator {
    Simulator::start(scenario(orders)).await.unwrap()
}

/// Each page's total, and all ids in the order in which they came.
pub(crate) async fn scan(sim: &Simulator, path: &str) -> (Vec<u64>, Vec<i64>) {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut totals, mut ids) = (Vec::new(), Vec::new());
    for page in 1.. {
        let reply = get(sim, &format!("{path}{separator}per_page=60&page={page}")).await;
        let body = reply.json();
        totals.push(body["pagination"]["total"].as_u64().unwrap());
        ids.extend(ids_of(&body["data"]));
        if body["pagination"]["currentPage"] == body["pagination"]["totalPages"] {
            return (totals, ids);
        }
    }
    unreachable!("pages are counted without end")
}

pub(crate) fn ids_of(rows: &Value) -> Vec<i64> {
    let rows = rows.as_array().unwrap();
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

/// The ids that the truth has, oldest order first.
pub(crate) fn true_orders(sim: &Simulator) -> Vec<TruthOrder> {
    let orders = sim.shop();
    let orders = orders.truth_orders(day("2000-01-01"), day("2100-01-01"));
    orders.collect()
}

pub(crate) fn true_ids(sim: &Simulator, resource: Resource) -> BTreeSet<i64> {
    let shop = sim.shop();
    match resource {
        Resource::Orders => true_orders(sim).iter().map(|order| order.id).collect(),
        Resource::Customers => shop.truth_customers().map(|customer| customer.id).collect(),
        Resource::Products => shop.truth_products().map(|product| product.id).collect(),
    }
}

#[tokio::test]
async fn the_same_questions_meet_the_same_changes() {
    let drift = ResourceDrift {
        arrive_every: 2,
        edit_every: 1,
        delete_every: 3,
        ..ResourceDrift::default()
    };
    let path = "/orders?sort_by=created_at-asc";
    let (first, again) = (start(drift).await, start(drift).await);
    assert_eq!(scan(&first, path).await, scan(&again, path).await);
    let events = first.first_shop().drift_events();
    assert_eq!(events, again.first_shop().drift_events());
    for kind in [DriftKind::Arrived, DriftKind::Edited, DriftKind::Deleted] {
        assert!(events.iter().any(|event| event.kind == kind), "{kind:?}");
    }
    let other = start(drift).await;
    other.set(|scenario| scenario.drift.seed = 6);
    scan(&other, path).await;
    assert_ne!(events, other.first_shop().drift_events());
}

#[tokio::test]
async fn a_row_that_goes_makes_another_one_slip_through() {
    let sim = start(ResourceDrift {
        delete_every: 2,
        until_request: 4,
        ..ResourceDrift::default()
    })
    .await;
    let (totals, ids) = scan(&sim, "/orders?sort_by=created_at-asc").await;
    assert_eq!(totals, [600, 600, 599, 599, 598, 598, 598, 598, 598, 598]);
    let seen: BTreeSet<i64> = ids.iter().copied().collect();
    let deleted = sim.first_shop().drift_events();
    let read_by_then = [120, 240];
    for (event, read) in deleted.iter().zip(read_by_then) {
        assert!(ids[..read].contains(&event.id), "it had been read before");
        let details = get(&sim, &format!("/orders/{}", event.id)).await;
        assert_eq!(details.status, 404);
    }
    let truth = true_ids(&sim, Resource::Orders);
    assert_eq!(
        truth.difference(&seen).count(),
        2,
        "two rows slipped through"
    );
    let (_, again) = scan(&sim, "/orders?sort_by=created_at-asc").await;
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), truth);
}

/// The same number of distinct ids as every page's total, and yet not the list.
#[tokio::test]
async fn a_paired_insertion_hides_the_deletion_from_all_counting() {
    let pairs = ResourceDrift {
        delete_every: 3,
        until_request: 3,
        pair_with_insert: true,
        ..ResourceDrift::default()
    };
    let mut scenario = scenario(pairs);
    scenario.drift.customers = ResourceDrift {
        until_request: 99,
        ..pairs
    };
    scenario.drift.products = scenario.drift.customers;
    let sim = Simulator::start(scenario).await.unwrap();
    let lists = [
        (
            "/orders?sort_by=created_at-asc&from_date=2023-07-01&to_date=2025-05-30",
            Resource::Orders,
        ),
        ("/customers", Resource::Customers),
        ("/products", Resource::Products),
    ];
    for (path, resource) in lists {
        let (totals, ids) = scan(&sim, path).await;
        assert!(totals.iter().all(|total| *total == totals[0]), "{path}");
        let seen: BTreeSet<i64> = ids.into_iter().collect();
        assert_eq!(seen.len() as u64, totals[0], "{path}");
        sim.set(|scenario| {
            scenario.drift = Drift {
                seed: 5,
                ..Drift::default()
            }
        });
        let (_, now) = scan(&sim, path).await;
        let now: BTreeSet<i64> = now.into_iter().collect();
        assert_eq!(now.len(), seen.len());
        let missed: Vec<_> = now.difference(&seen).collect();
        assert!(!missed.is_empty(), "{path}");
        assert!(now.is_subset(&true_ids(&sim, resource)));
        sim.set(|scenario| {
            scenario.drift.customers = ResourceDrift {
                until_request: 99,
                ..pairs
            };
            scenario.drift.products = scenario.drift.customers;
        });
    }
}

#[tokio::test]
async fn late_records_are_new_by_their_update_unless_they_are_silent() {
    for silent_inserts in [false, true] {
        let sim = start(ResourceDrift {
            delete_every: 1,
            until_request: 1,
            pair_with_insert: true,
            silent_inserts,
            ..ResourceDrift::default()
        })
        .await;
        sim.clock().advance(std::time::Duration::from_secs(60));
        get(&sim, "/orders?sort_by=created_at-asc&per_page=60").await;
        let late = sim.first_shop().drift_events()[1];
        assert_eq!(late.kind, DriftKind::Inserted);
        let newest = get(&sim, "/orders?sort_by=updated_at-desc&per_page=1").await;
        let first = ids_of(&newest.json()["data"])[0];
        assert_eq!(first == late.id, !silent_inserts);
    }
}

#[tokio::test]
async fn every_kind_drifts_and_the_truth_follows() {
    let drift = ResourceDrift {
        arrive_every: 3,
        edit_every: 1,
        delete_every: 2,
        until_request: 12,
        ..ResourceDrift::default()
    };
    let mut scenario = scenario(drift);
    scenario.limits.customers.enabled = false;
    scenario.drift.counts = DriftCounts::AllRequests;
    scenario.drift.customers = drift;
    scenario.drift.products = drift;
    let sim = Simulator::start(scenario).await.unwrap();
    let lists = [
        ("/orders", Resource::Orders),
        ("/customers", Resource::Customers),
        ("/products", Resource::Products),
    ];
    for (path, _) in lists {
        get(&sim, path).await;
    }
    for _ in 0..9 {
        get(&sim, "/store/info").await;
    }
    let before = sim.first_shop().drift_events();
    for (path, resource) in lists {
        let (_, ids) = scan(&sim, path).await;
        let seen: BTreeSet<i64> = ids.into_iter().collect();
        assert_eq!(seen, true_ids(&sim, resource), "{path}");
        let of_kind = |kind| {
            let fits = |event: &&DriftEvent| event.resource == resource && event.kind == kind;
            before.iter().filter(fits).count()
        };
        assert!(of_kind(DriftKind::Deleted) >= 5, "{path}");
        assert!(of_kind(DriftKind::Edited) >= 10, "{path}");
        assert_eq!(of_kind(DriftKind::Arrived), 4, "{path}");
    }
    assert_eq!(before, sim.first_shop().drift_events(), "it keeps still");
}
