//! What becomes of responses, good and bad.

use std::time::Duration;

use domain::failure::{Disconnection, Failure};
use domain::resource::Resource;
use domain::shop::ShopPlan;
use domain::window::DayRange;
use importer::ports::platform::{PageRequest, Platform, Sort};
use salla_client::SallaClient;
use salla_client::retry::RetryPolicy;
use salla_client::tokens::TokenSource;
use secrecy::SecretString;

use crate::fake_salla::{FakeSalla, Reply, SingleRequests as _, error, ok, shop};

pub(crate) fn orders(page: u32) -> PageRequest {
    PageRequest {
        resource: Resource::Orders,
        days: DayRange::new("2025-01-01".parse().unwrap(), "2025-01-31".parse().unwrap()),
        slice: None,
        page,
        per_page: 60,
        sort: Sort::OldestFirst,
        expanded: true,
    }
}

fn customers() -> PageRequest {
    PageRequest {
        resource: Resource::Customers,
        days: None,
        ..orders(1)
    }
}

const LIST: &str = r#"{"status":200,"success":true,"data":[{"id":1},{"id":2}],
    "pagination":{"count":2,"total":62,"perPage":60,"currentPage":2,"totalPages":2,"links":{}}}"#;

pub(crate) fn list() -> Reply {
    Reply::Says(200, &[], LIST.to_owned())
}

fn html(status: u16) -> Reply {
    Reply::Says(status, &[], "<html>Just a moment...</html>".to_owned())
}

#[tokio::test]
async fn a_list_is_asked_for_as_documented() {
    let salla = FakeSalla::start().await;
    salla.on("/orders", [list()]);
    let page = salla.client().page(&orders(2)).await.unwrap();
    assert_eq!(page.records.len(), 2);
    assert_eq!(page.pagination.total, 62);
    let seen = salla.seen("/orders").remove(0);
    assert_eq!(
        seen.query,
        "per_page=60&page=2&sort_by=created_at-asc&from_date=2025-01-01&to_date=2025-01-31\
         &expanded=true"
    );
    assert_eq!(seen.headers["authorization"], "Bearer first");
    assert_eq!(seen.headers["accept"], "application/json");
    assert_eq!(seen.headers["accept-language"], "ar");
    assert!(seen.headers["user-agent"].starts_with("salla-sync/"));
}

#[tokio::test]
async fn the_shop_reports_its_plan() {
    let salla = FakeSalla::start().await;
    salla.on("/store/info", [shop()]);
    let info = salla.client().shop_info().await.unwrap();
    assert_eq!((info.salla_id, info.plan), (7, ShopPlan::Pro));
}

#[tokio::test]
async fn whatever_passes_is_tried_again() {
    let salla = FakeSalla::start().await;
    let truncated = Reply::Says(200, &[], LIST[..80].to_owned());
    let troubles = [
        html(200),
        html(502),
        truncated,
        Reply::CutOff,
        Reply::HangsUp,
    ];
    salla.on(
        "/orders",
        troubles.into_iter().chain([error(503, "later"), list()]),
    );
    let client = salla.client();
    client.page(&orders(1)).await.unwrap();
    assert_eq!(salla.seen("/orders").len(), 7);
    assert_eq!(client.budget().retries, 6);
    assert_eq!(client.budget().requests, 7);
}

#[tokio::test]
async fn after_eight_tries_the_failure_says_what_was_being_done() {
    let salla = FakeSalla::start().await;
    salla.on("/orders", [error(503, "later")]);
    let failure = salla.client().page(&orders(3)).await.unwrap_err();
    let what = "listing orders of 2025-01-01 to 2025-01-31, page 3: Salla responded with status \
                503 (8 tries)"
        .to_owned();
    assert_eq!(failure, Failure::Transient { message: what });
    assert_eq!(salla.seen("/orders").len(), 8);
}

#[tokio::test]
async fn a_request_that_hangs_is_given_up_and_tried_again() {
    let salla = FakeSalla::start().await;
    salla.on("/orders", [Reply::Hangs, list()]);
    salla.client().page(&orders(1)).await.unwrap();
    assert_eq!(salla.seen("/orders").len(), 2);
}

#[tokio::test]
async fn json_that_is_no_envelope_is_broken_in_the_end() {
    let salla = FakeSalla::start().await;
    salla.on(
        "/orders",
        [Reply::Says(200, &[], r#"{"hello":"world"}"#.to_owned())],
    );
    let failure = salla.client().page(&orders(1)).await.unwrap_err();
    assert!(matches!(failure, Failure::Broken { .. }), "{failure:?}");
    assert_eq!(salla.seen("/orders").len(), 8);
}

#[tokio::test]
async fn an_order_that_is_gone_is_no_failure() {
    let salla = FakeSalla::start().await;
    salla.on("/orders/5", [error(404, "gone")]);
    salla.on("/orders/items", [error(404, "gone")]);
    let client = salla.client();
    assert!(client.detail(5).await.unwrap().is_none());
    assert!(client.items(5).await.unwrap().is_none());
    assert_eq!(salla.seen("/orders/items")[0].query, "order_id=5");
}

/// A page of the items of order 5.
fn items(rows: &str, page: u32, pages: u32, total: u32) -> Reply {
    let body = format!(
        r#"{{"status":200,"success":true,"data":[{rows}],"pagination":{{"count":1,"total":{total},
            "perPage":2,"currentPage":{page},"totalPages":{pages},"links":[]}}}}"#
    );
    Reply::Says(200, &[], body)
}

const LINE: &str = r#"{"id":1,"name":"a","quantity":1}"#;
const OTHER: &str = r#"{"id":1,"name":"b","quantity":2}"#;

#[tokio::test]
async fn items_on_several_pages_are_one_list() {
    let salla = FakeSalla::start().await;
    let two = format!("{LINE},{OTHER}");
    salla.on(
        "/orders/items",
        [items(&two, 1, 2, 3), items(OTHER, 2, 2, 3)],
    );
    let answer = salla.client().items(5).await.unwrap().unwrap();
    let read = answer.record.outcome.unwrap();
    let names: Vec<_> = read.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "b"]);
    assert_eq!(&*answer.record.raw, format!("[{LINE},{OTHER},{OTHER}]"));
    let queries: Vec<_> = salla
        .seen("/orders/items")
        .into_iter()
        .map(|seen| seen.query)
        .collect();
    assert_eq!(queries, ["order_id=5", "order_id=5&page=2"]);
}

/// With a line missing, or another one in its place, the order would be wrong.
#[tokio::test]
async fn items_that_are_not_all_there_are_no_list() {
    let two = format!("{LINE},{OTHER}");
    let table = [
        // The one page holds fewer than there are.
        vec![items(LINE, 1, 1, 2)],
        // The page is not looked at: each is the first.
        vec![items(&two, 1, 2, 3), items(&two, 1, 2, 3)],
        // The last page is empty.
        vec![items(&two, 1, 9, 3), items("", 2, 9, 3)],
        // A bad entry on the last page.
        vec![items(&two, 1, 2, 3), items("null", 2, 2, 3)],
    ];
    for pages in table {
        let salla = FakeSalla::start().await;
        let asked = pages.len();
        salla.on("/orders/items", pages);
        let answer = salla.client().items(5).await.unwrap().unwrap();
        assert!(answer.record.outcome.is_err(), "{answer:?}");
        assert_eq!(salla.seen("/orders/items").len(), asked);
    }
}

#[tokio::test]
async fn what_salla_does_not_accept_is_not_repeated() {
    let salla = FakeSalla::start().await;
    salla.on("/orders", [error(422, "alert.invalid_fields")]);
    let failure = salla.client().page(&orders(1)).await.unwrap_err();
    assert!(matches!(failure, Failure::Broken { .. }), "{failure:?}");
    assert_eq!(salla.seen("/orders").len(), 1);
}

#[tokio::test]
async fn a_429_is_waited_out_and_costs_no_attempt() {
    let salla = FakeSalla::start().await;
    let throttled = Reply::Says(429, &[("retry-after", "2")], String::new());
    salla.on(
        "/orders",
        std::iter::repeat_n(throttled, 12).chain([list()]),
    );
    let client = salla.client();
    client.page(&orders(1)).await.unwrap();
    assert_eq!(client.budget().throttled, 12);
    assert_eq!(client.budget().retries, 0);
}

#[tokio::test]
async fn a_429_that_does_not_end_is_given_back_with_its_wait() {
    let salla = FakeSalla::start().await;
    salla.on(
        "/orders",
        [Reply::Says(429, &[("retry-after", "1500")], String::new())],
    );
    let mut settings = salla.settings(TokenSource::Fixed(SecretString::from("first")));
    settings.retry = RetryPolicy {
        throttled: Duration::from_secs(20),
        ..RetryPolicy::default()
    };
    let failure = SallaClient::new(settings)
        .page(&orders(1))
        .await
        .unwrap_err();
    assert!(
        matches!(failure, Failure::Throttled { wait } if wait.as_secs() > 1_400),
        "{failure:?}"
    );
}

#[tokio::test]
async fn an_inactive_account_and_a_denied_app_are_distinguished() {
    let table = [
        (
            error(401, "the account is not active"),
            Disconnection::ShopInactive,
        ),
        (
            error(403, "Application does not have permission to do this"),
            Disconnection::Forbidden,
        ),
    ];
    for (reply, why) in table {
        let salla = FakeSalla::start().await;
        salla.on("/orders", [reply]);
        let failure = salla.client().page(&orders(1)).await.unwrap_err();
        assert_eq!(failure, Failure::Disconnected(why));
    }
}

#[tokio::test]
async fn the_customers_budget_is_not_taken_for_the_shop_s() {
    const OWN: &[(&str, &str)] = &[
        ("x-ratelimit-limit", "500"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1750000590"),
    ];
    const SHOP: &[(&str, &str)] = &[
        ("x-ratelimit-limit", "120"),
        ("x-ratelimit-remaining", "100"),
        ("x-ratelimit-reset", "1750000059"),
    ];
    let salla = FakeSalla::start().await;
    salla.on(
        "/store/info",
        [
            shop(),
            Reply::Says(200, SHOP, r#"{"data":{"id":7}}"#.to_owned()),
        ],
    );
    salla.on(
        "/orders/5",
        [Reply::Says(200, SHOP, r#"{"data":{"id":5}}"#.to_owned())],
    );
    salla.on("/customers", [Reply::Says(200, OWN, LIST.to_owned())]);
    let settings = salla.settings(TokenSource::Fixed(SecretString::from("first")));
    let clock = settings.clock.clone();
    let client = SallaClient::new(settings);
    for _ in 0..3 {
        client.detail(5).await.unwrap();
    }
    client.page(&customers()).await.unwrap();
    assert_eq!(client.budget().limit_per_minute, Some(120));
    // The customers' 500 are spent, but the shop's 100 are not.
    let begun = clock.monotonic();
    for _ in 0..20 {
        client.detail(5).await.unwrap();
    }
    assert!(clock.monotonic() - begun < Duration::from_secs(19));
}

#[tokio::test]
async fn an_empty_answer_of_the_statuses_is_a_list() {
    let salla = FakeSalla::start().await;
    salla.on("/orders/statuses", [ok("[]")]);
    let request = PageRequest {
        resource: Resource::OrderStatuses,
        ..customers()
    };
    assert!(
        salla
            .client()
            .page(&request)
            .await
            .unwrap()
            .records
            .is_empty()
    );
}
