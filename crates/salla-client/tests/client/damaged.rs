//! Answers with a few wrong bytes in them: what they cost, and what they do not.

use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use domain::window::DayRange;
use importer::ports::platform::{PageRequest, Platform, Records};

use crate::fake_salla::{FakeSalla, Reply, SingleRequests as _};

const PAGINATION: &str =
    r#""pagination":{"count":3,"total":3,"perPage":60,"currentPage":1,"totalPages":1}"#;

/// A page of three rows, the second of which is the given one.
fn page(row: &[u8]) -> Vec<u8> {
    let mut body = br#"{"status":200,"success":true,"data":[{"id":1,"first_name":"a"},"#.to_vec();
    body.extend(row);
    body.extend(br#",{"id":3,"first_name":"c"}],"#);
    body.extend(PAGINATION.as_bytes());
    body.push(b'}');
    body
}

fn envelope(data: &[u8]) -> Reply {
    let body = [br#"{"status":200,"success":true,"data":"#, data, b"}"].concat();
    Reply::Sends(body)
}

/// What the second customer of a page is: a first name, or why there is none.
async fn second_customer(row: &[u8]) -> Result<Option<String>, RejectionCode> {
    let salla = FakeSalla::start().await;
    salla.on("/customers", [Reply::Sends(page(row))]);
    let client = salla.client();
    let first = PageRequest::first(Resource::Customers, None);
    let listed = client.page(&first).await.unwrap();
    assert_eq!(client.budget().retries, 0, "nothing is asked for twice");
    assert_eq!(listed.pagination.total, 3);
    let Records::Customers(mut rows) = listed.records else {
        panic!("customers were asked for");
    };
    assert_eq!(rows.len(), 3);
    let neighbours = [&rows[0], &rows[2]].map(|row| row.outcome.as_ref().unwrap().id);
    assert_eq!(neighbours, [1, 3]);
    let second = rows.swap_remove(1).outcome;
    let named = second.map(|customer| {
        assert_eq!(customer.id, 2);
        customer.first_name
    });
    named.map_err(|rejection| rejection.code)
}

#[tokio::test]
async fn a_damaged_text_costs_no_record() {
    let table: [(&[u8], &str); 11] = [
        (b"{\"id\":2,\"first_name\":\"\xd8Huda\"}", "\u{fffd}Huda"),
        // The first half of an Arabic letter.
        (b"{\"id\":2,\"first_name\":\"Huda\xd9\"}", "Huda\u{fffd}"),
        // An overlong quotation mark, a surrogate, Latin-1.
        (
            b"{\"id\":2,\"first_name\":\"\xc0\xa2\"}",
            "\u{fffd}\u{fffd}",
        ),
        (
            b"{\"id\":2,\"first_name\":\"\xed\xa0\x80\"}",
            "\u{fffd}\u{fffd}\u{fffd}",
        ),
        (b"{\"id\":2,\"first_name\":\"Andr\xe9\"}", "Andr\u{fffd}"),
        (
            b"{\"id\":2,\"first_name\":\"Hu\x01da\x1f\n\"}",
            "Hu\u{1}da\u{1f}\n",
        ),
        // PostgreSQL holds no U+0000.
        (b"{\"id\":2,\"first_name\":\"Hu\x00da\"}", "Hu\u{fffd}da"),
        (br#"{"id":2,"first_name":"Hu\u0000da"}"#, "Hu\u{fffd}da"),
        (br#"{"id":2,"first_name":"Hu\ud800da"}"#, "Hu\u{fffd}da"),
        (br#"{"id":2,"first_name":"Hu\x41da"}"#, r"Hu\x41da"),
        (
            b"{\"id\":2,\"first_name\":\"Huda\",\"n\xffte\":NaN,}",
            "Huda",
        ),
    ];
    for (row, name) in table {
        let read = second_customer(row).await;
        assert_eq!(
            read,
            Ok(Some(name.to_owned())),
            "{}",
            String::from_utf8_lossy(row)
        );
    }
}

#[tokio::test]
async fn a_row_that_is_no_record_costs_only_itself() {
    let table: [(&[u8], RejectionCode); 6] = [
        (b"7\xff", RejectionCode::NotAnObject),
        (
            br#"{"id":2,"first_name" "Huda"}"#,
            RejectionCode::InvalidJson,
        ),
        (br#"{"id":2,"first_name":}"#, RejectionCode::InvalidJson),
        (b"{\"id\":2\xff7}", RejectionCode::InvalidId),
        (br#"{"id":2,"id":2}"#, RejectionCode::InvalidJson),
        (
            br#"{"id":2,"\ud800":1,"first_name":"x","first_name":"y"}"#,
            RejectionCode::InvalidJson,
        ),
    ];
    for (row, code) in table {
        let read = second_customer(row).await;
        assert_eq!(read, Err(code), "{}", String::from_utf8_lossy(row));
    }
}

#[tokio::test]
async fn a_deeply_nested_row_costs_only_itself() {
    let deep = |levels| {
        [
            r#"{"a":"#.repeat(levels),
            "1".to_owned(),
            "}".repeat(levels),
        ]
        .concat()
    };
    let row = format!(r#"{{"id":2,"first_name":"Huda","other":{}}}"#, deep(20_000));
    assert_eq!(
        second_customer(row.as_bytes()).await,
        Ok(Some("Huda".to_owned()))
    );
    let damaged = row.replace("Huda", "Hu\x01da");
    assert_eq!(
        second_customer(damaged.as_bytes()).await,
        Ok(Some("Hu\u{1}da".to_owned()))
    );
}

#[tokio::test]
async fn the_shop_an_order_and_its_items_are_read_as_well() {
    let salla = FakeSalla::start().await;
    salla.on(
        "/store/info",
        [envelope(
            b"{\"id\":7,\"name\":\"A \xd8shop\",\"plan\":\"pro\"}",
        )],
    );
    let order = b"{\"id\":5,\"date\":\"2025-01-02 10:00:00\",\"source\":\"st\x02ore\"}";
    salla.on("/orders/5", [envelope(order)]);
    let items = b"[{\"id\":9,\"quantity\":1,\"name\":\"caf\xe9\"}]";
    salla.on("/orders/items", [envelope(items)]);
    let client = salla.client();
    assert_eq!(client.shop_info().await.unwrap().name, "A \u{fffd}shop");
    let detail = client.detail(5).await.unwrap().unwrap();
    assert_eq!(
        detail.record.outcome.unwrap().source.as_deref(),
        Some("st\u{2}ore")
    );
    let items = client.items(5).await.unwrap().unwrap();
    assert_eq!(items.record.outcome.unwrap()[0].name, "caf\u{fffd}");
}

#[tokio::test]
async fn a_damaged_refusal_is_a_refusal() {
    let salla = FakeSalla::start().await;
    let gone = b"{\"status\":404,\"success\":false,\"error\":{\"code\":404,\"message\":\"\xd8\"}}";
    salla.on("/orders/5", [Reply::Sends(gone.to_vec())]);
    assert!(salla.client().detail(5).await.unwrap().is_none());
    assert_eq!(salla.seen("/orders/5").len(), 1);
}

#[tokio::test]
async fn a_page_that_is_no_json_names_itself() {
    let html: &[(&str, &str)] = &[("content-type", "text/html; charset=UTF-8")];
    let secret = "SECRET4711";
    let table = [
        (
            Reply::Says(200, html, format!("<html>{secret}</html>")),
            "status 200, text/html",
        ),
        (
            Reply::Says(404, html, format!("<html>{secret}</html>")),
            "status 404, text/html",
        ),
        (
            Reply::Sends(format!(r#"{{"data":[{{"name":"{secret}"#).into_bytes()),
            "status 200, without content type",
        ),
        (
            Reply::Says(200, &[("content-type", "SECRET 4711")], secret.to_owned()),
            "status 200, with an unreadable content type",
        ),
    ];
    for (reply, expected) in table {
        let salla = FakeSalla::start().await;
        salla.on("/orders", [reply]);
        let days = DayRange::new("2025-01-01".parse().unwrap(), "2025-01-31".parse().unwrap());
        let third = PageRequest {
            page: 3,
            ..PageRequest::first(Resource::Orders, days)
        };
        let failure = salla.client().page(&third).await.unwrap_err();
        let what = format!(
            "listing orders of 2025-01-01 to 2025-01-31, page 3: the response ({expected}) is not \
             JSON, or was cut off (8 tries)"
        );
        assert_eq!(failure, Failure::NotJson { message: what });
        assert_eq!(salla.seen("/orders").len(), 8);
    }
}

/// One order stops no shop; a response from another server says nothing about an order.
#[tokio::test]
async fn an_order_that_is_never_json_is_rejected() {
    let salla = FakeSalla::start().await;
    salla.on(
        "/orders/5",
        [Reply::Sends(br#"{"status":200,"data":{"id":5"#.to_vec())],
    );
    salla.on("/orders/items", [Reply::Sends(b"<html></html>".to_vec())]);
    let client = salla.client();
    let detail = client.detail(5).await.unwrap().unwrap();
    assert_eq!(
        detail.record.outcome.unwrap_err().code,
        RejectionCode::InvalidJson
    );
    assert_eq!(&*detail.record.raw, r#"{"status":200,"data":{"id":5"#);
    assert_eq!(salla.seen("/orders/5").len(), 8);
    let failure = client.items(5).await.unwrap_err();
    assert!(matches!(failure, Failure::NotJson { .. }), "{failure:?}");
}
