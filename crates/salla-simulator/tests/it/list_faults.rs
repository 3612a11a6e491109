//! Lists that lie about their totals, end too early, or never end.

use crate::client::{all_rows, get};
use salla_simulator::*;
use serde_json::{Value, json};

async fn start(manners: ListBehavior) -> Simulator {
    let scenario = Scenario {
        shop: ShopSpec {
            orders: 200,
            customers: 130,
            products: 130,
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        lists: Lists {
            orders: manners,
            ..Lists::default()
        },
        ..Scenario::default()
    };
    Simulator::start(scenario).await.unwrap()
}

async fn page(sim: &Simulator, number: u64) -> Value {
    let path = format!("/orders?sort_by=created_at-asc&per_page=60&page={number}");
    let reply = get(sim, &path).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

fn pages_of(body: &Value) -> (u64, u64) {
    let number = |key: &str| body["pagination"][key].as_u64().unwrap();
    (number("total"), number("totalPages"))
}

fn first_id(body: &Value) -> Option<i64> {
    body["data"][0]["id"].as_i64()
}

#[tokio::test]
async fn totals_may_be_off_and_take_the_pages_along_or_not() {
    let cases = [
        (-30, true, (170, 3)),
        (-30, false, (170, 4)),
        (45, true, (245, 5)),
        (45, false, (245, 4)),
        (-500, true, (0, 1)),
    ];
    for (total_off, pages_follow_total, expected) in cases {
        let sim = start(ListBehavior {
            total_off,
            pages_follow_total,
            ..ListBehavior::default()
        })
        .await;
        for number in [1, 4] {
            assert_eq!(pages_of(&page(&sim, number).await), expected);
        }
        let rows = page(&sim, 4).await["data"].as_array().unwrap().len();
        assert_eq!(rows, 20, "the rows are true");
        assert_eq!(page(&sim, 5).await["data"], json!([]));
        let customers = get(&sim, "/customers").await.json();
        assert_eq!(
            customers["pagination"]["total"], 130,
            "each list for itself"
        );
    }
}

#[tokio::test]
async fn totals_may_change_from_page_to_page() {
    let sim = start(ListBehavior {
        total_jitter: 3,
        ..ListBehavior::default()
    })
    .await;
    let mut totals = Vec::new();
    for number in 1..=40 {
        totals.push(pages_of(&page(&sim, number).await).0);
    }
    for total in 197..=203 {
        assert!(totals.contains(&total), "{total} in {totals:?}");
    }
    assert!(totals.iter().all(|total| (197..=203).contains(total)));
    assert_eq!(pages_of(&page(&sim, 1).await).0, totals[0]);
}

async fn with_ceiling(how: CeilingBehavior) -> Simulator {
    start(ListBehavior {
        ceiling: Some(Ceiling {
            rows: 100,
            how,
            ..Ceiling::default()
        }),
        ..ListBehavior::default()
    })
    .await
}

#[tokio::test]
async fn below_a_ceiling_there_is_more_than_one_can_read() {
    for how in [CeilingBehavior::Empty, CeilingBehavior::Lie] {
        let sim = with_ceiling(how).await;
        let second = page(&sim, 2).await;
        assert_eq!(second["data"].as_array().unwrap().len(), 40);
        let expected = match how {
            CeilingBehavior::Lie => (100, 2),
            _ => (200, 4),
        };
        assert_eq!(pages_of(&second), expected);
        assert_eq!(page(&sim, 3).await["data"], json!([]));
    }
    let sim = with_ceiling(CeilingBehavior::RepeatLast).await;
    let third = page(&sim, 3).await;
    assert_eq!(third["data"], page(&sim, 2).await["data"]);
    assert_eq!(third["pagination"]["currentPage"], 3);
}

#[tokio::test]
async fn a_strict_ceiling_answers_with_an_error_and_a_window_gets_below_it() {
    for (error_status, code) in [(422, json!("error")), (400, json!(400))] {
        let sim = with_ceiling(CeilingBehavior::Error).await;
        sim.set(|scenario| {
            let ceiling = scenario.lists.orders.ceiling.as_mut();
            ceiling.unwrap().error_status = error_status;
        });
        let refused = get(&sim, "/orders?per_page=60&page=3").await;
        assert_eq!(refused.status, error_status);
        assert_eq!(refused.json()["success"], false);
        assert_eq!(refused.json()["error"]["code"], code);
        let windows = [
            "/orders?to_date=2024-05-31",
            "/orders?from_date=2024-06-01&to_date=2024-12-31",
            "/orders?from_date=2025-01-01",
        ];
        let mut rows = 0;
        for window in windows {
            rows += all_rows(&sim, window).await.len();
        }
        assert_eq!(rows, 200);
    }
}

#[tokio::test]
async fn a_page_past_the_end_may_be_the_last_one_for_ever() {
    let endless = |endless_pages| ListBehavior {
        endless_pages: Some(endless_pages),
        ..ListBehavior::default()
    };
    let sim = start(endless(EndlessPages::LastPage)).await;
    let last = page(&sim, 4).await;
    for number in [5, 90] {
        let past = page(&sim, number).await;
        assert_eq!(past["data"], last["data"]);
        assert_eq!(pages_of(&past), (200, 4));
        let next = past["pagination"]["links"]["next"].as_str().unwrap();
        assert!(next.ends_with(&format!("page={}", number + 1)), "{next}");
    }
    let sim = start(endless(EndlessPages::LastPageGrowing)).await;
    assert_eq!(pages_of(&page(&sim, 1).await), (200, 4));
    assert_eq!(pages_of(&page(&sim, 4).await), (200, 5));
    let past = page(&sim, 90).await;
    assert_eq!(pages_of(&past), (200, 91));
    assert_eq!(past["data"], page(&sim, 4).await["data"]);
}

#[tokio::test]
async fn every_page_may_be_the_first() {
    let sim = start(ListBehavior {
        endless_pages: Some(EndlessPages::FirstPage),
        ..ListBehavior::default()
    })
    .await;
    let first = page(&sim, 1).await;
    for number in [2, 4, 77] {
        let same = page(&sim, number).await;
        assert_eq!(first_id(&same), first_id(&first));
        assert_eq!(same["pagination"], first["pagination"]);
        assert_eq!(same["pagination"]["currentPage"], 1);
    }
}

#[tokio::test]
async fn one_day_may_hold_more_than_the_ceiling() {
    let mut scenario = Scenario {
        shop: ShopSpec {
            orders: 3_000,
            busy_day: Some(BusyDay {
                days_ago: 20,
                orders: 1_500,
            }),
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    };
    scenario.lists.orders.ceiling = Some(Ceiling {
        rows: 1_000,
        ..Ceiling::default()
    });
    let sim = Simulator::start(scenario).await.unwrap();
    let day = "from_date=2025-05-26&to_date=2025-05-26";
    let list = get(&sim, &format!("/orders?{day}&per_page=60"))
        .await
        .json();
    let total = list["pagination"]["total"].as_u64().unwrap();
    assert!((1_500..1_520).contains(&total), "{total}");
    let beyond = get(&sim, &format!("/orders?{day}&per_page=60&page=18")).await;
    assert_eq!(beyond.json()["data"], json!([]));
    let hour = "from_date=2025-05-26T12:00:00&to_date=2025-05-26T12:59:59";
    let list = get(&sim, &format!("/orders?{hour}")).await.json();
    assert!((20..200).contains(&list["pagination"]["total"].as_u64().unwrap()));
}
