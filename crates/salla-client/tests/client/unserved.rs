//! Records that Salla never serves, and responses that say nothing.

use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::admission::FetchPermit;
use importer::ports::platform::Platform as _;

use crate::fake_salla::{FakeSalla, Reply, SingleRequests as _, error, ok, shop};

/// What of a record nothing comes of, and how often it is requested before it is rejected: as
/// often as what may pass is tried, and once more after Salla has served something else.
fn refusals() -> [(Reply, usize); 7] {
    let says = |body: &str| Reply::Says(200, &[], body.to_owned());
    [
        (error(500, "server_error"), 9),
        (error(400, "alert.invalid_fields"), 2),
        (error(422, "alert.invalid_fields"), 2),
        // An error of which it is not clear which.
        (says(r#"{"success":false}"#), 9),
        (says("<html></html>"), 9),
        (Reply::CutOff, 9),
        (ok("null"), 9),
    ]
}

#[tokio::test]
async fn an_order_that_is_never_served_is_rejected_while_salla_serves_other_things() {
    for (reply, tries) in refusals() {
        let salla = FakeSalla::start().await;
        salla.on("/orders/5", [reply.clone()]);
        salla.on("/store/info", [shop()]);
        let detail = salla.client().detail(5).await.unwrap().unwrap();
        let rejection = detail.record.outcome.unwrap_err();
        assert_eq!(rejection.code, RejectionCode::NotServed, "{reply:?}");
        assert_eq!(rejection.salla_id, Some(5));
        let names_it = rejection.message.contains("requesting order 5: ");
        assert!(names_it, "{}", rejection.message);
        assert_eq!(salla.seen("/orders/5").len(), tries, "{reply:?}");
        assert_eq!(salla.seen("/store/info").len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn items_that_are_never_served_are_missing() {
    let truncated = Reply::Sends(br#"{"status":200,"data":[{"id":5"#.to_vec());
    let refusals = refusals().into_iter().chain([(truncated, 9)]);
    for (reply, tries) in refusals {
        let salla = FakeSalla::start().await;
        salla.on("/orders/items", [reply.clone()]);
        salla.on("/store/info", [shop()]);
        let items = salla.client().items(5).await.unwrap().unwrap();
        let rejection = items.record.outcome.unwrap_err();
        assert_eq!(rejection.code, RejectionCode::MissingItems, "{reply:?}");
        assert_eq!(rejection.salla_id, Some(5));
        assert_eq!(salla.seen("/orders/items").len(), tries, "{reply:?}");
        assert_eq!(salla.seen("/store/info").len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_customer_and_a_product_that_are_never_served_are_rejected_too() {
    for (resource, path) in [
        (Resource::Customers, "/customers/5"),
        (Resource::Products, "/products/5"),
    ] {
        let salla = FakeSalla::start().await;
        salla.on(path, [error(500, "server_error")]);
        salla.on("/store/info", [shop()]);
        let mut permit = FetchPermit::default();
        let answer = salla.client().record(resource, 5, &mut permit).await;
        let (row, _) = answer.unwrap().unwrap();
        assert_eq!(row.rejections(), [RejectionCode::NotServed]);
        assert_eq!(row.ids(), [5]);
    }
}

#[tokio::test]
async fn an_outage_is_no_fault_of_a_record() {
    for outage in [error(503, "later"), Reply::HangsUp, ok("null")] {
        let salla = FakeSalla::start().await;
        salla.on("/orders/5", [error(500, "server_error")]);
        salla.on("/orders/items", [error(500, "server_error")]);
        salla.on("/store/info", [outage.clone()]);
        let client = salla.client();
        let failure = client.detail(5).await.unwrap_err();
        let what = "requesting order 5: Salla responded with status 500 (8 tries)";
        assert_eq!(
            failure,
            Failure::Transient {
                message: what.to_owned()
            },
            "{outage:?}"
        );
        assert_eq!(salla.seen("/orders/5").len(), 8);
        let failure = client.items(5).await.unwrap_err();
        assert!(matches!(failure, Failure::Transient { .. }), "{failure:?}");
        assert_eq!(salla.seen("/store/info").len(), 2, "one for each");
    }
}

#[tokio::test]
async fn an_outage_that_ends_after_the_last_try_rejects_nothing() {
    let order = r#"{"id":5,"date":"2025-01-02 10:00:00"}"#;
    let salla = FakeSalla::start().await;
    let out = std::iter::repeat_n(error(503, "later"), 8);
    salla.on("/orders/5", out.clone().chain([ok(order)]));
    salla.on("/orders/items", out.chain([ok("[]")]));
    salla.on("/store/info", [shop()]);
    let client = salla.client();
    let detail = client.detail(5).await.unwrap().unwrap();
    assert_eq!(detail.record.outcome.unwrap().id, 5);
    let items = client.items(5).await.unwrap().unwrap();
    assert_eq!(items.record.outcome, Ok(vec![]));
}

#[tokio::test]
async fn items_that_are_null_once_are_requested_again() {
    let salla = FakeSalla::start().await;
    let two = r#"[{"id":1,"name":"a","quantity":1},{"id":2,"name":"b","quantity":2}]"#;
    salla.on("/orders/items", [ok("null"), ok(two)]);
    let client = salla.client();
    let items = client.items(5).await.unwrap().unwrap();
    assert_eq!(items.record.outcome.unwrap().len(), 2);
    assert_eq!(client.budget().retries, 1);
    assert_eq!(salla.seen("/orders/items").len(), 2);
}
