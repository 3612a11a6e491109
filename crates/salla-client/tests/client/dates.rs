//! Dates that cannot be true: an order with one has no day and is rejected, everything
//! else merely lacks a date.

use domain::order::OrderCustomer;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::ports::inspection::RecordLookup;
use importer::ports::platform::{PageRequest, Records};

use crate::fake_salla::{FakeSalla, Reply, SingleRequests as _, ok};

/// The tests' clock begins in June 2025.
const IMPLAUSIBLE: [&str; 11] = [
    r#""0000-00-00 00:00:00""#,
    r#""-0001-11-30 00:00:00""#,
    r#""1970-01-01 03:00:00""#,
    r#""1999-12-31 23:59:59""#,
    r#""2025-06-19 12:00:00""#,
    r#""2055-01-01 00:00:00""#,
    r#""9999-12-31 23:59:59""#,
    r#""20255-01-01 00:00:00""#,
    r#"{"date":"1970-01-01 03:00:00.000000","timezone_type":3,"timezone":"Asia/Riyadh"}"#,
    r#"{"date":"-0001-11-30 00:00:00.000000","timezone_type":3,"timezone":"Asia/Riyadh"}"#,
    "99999999999",
];

async fn listed(resource: Resource, path: &str, rows: &str) -> Records {
    let salla = FakeSalla::start().await;
    let body = format!(
        r#"{{"status":200,"success":true,"data":[{rows}],"pagination":{{"count":1,"total":1,"perPage":60,"currentPage":1,"totalPages":1}}}}"#
    );
    salla.on(path, [Reply::Says(200, &[], body)]);
    let first = PageRequest::first(resource, None);
    salla.client().page(&first).await.unwrap().records
}

#[tokio::test]
async fn an_order_of_no_possible_day_is_rejected_wherever_it_comes_from() {
    for date in IMPLAUSIBLE {
        let order = format!(r#"{{"id":5,"reference_id":50,"date":{date}}}"#);
        let Records::Orders(rows) = listed(Resource::Orders, "/orders", &order).await else {
            panic!("orders were asked for");
        };
        let salla = FakeSalla::start().await;
        salla.on("/orders/5", [ok(&order)]);
        let client = salla.client();
        let detail = client.detail(5).await.unwrap().unwrap().record;
        for outcome in [&rows[0].outcome, &detail.outcome] {
            let rejection = outcome.as_ref().unwrap_err();
            assert_eq!(rejection.code, RejectionCode::InvalidDate, "{date}");
            assert_eq!(rejection.path, "$.date", "{date}");
            assert_eq!(rejection.salla_id, Some(5), "{date}");
        }
        assert_eq!(&*rows[0].raw, order, "the raw record stays");
        let found = client.look_up(Resource::Orders, 5).await.unwrap().unwrap();
        assert_eq!(found.created_on, None, "{date}");
    }
}

#[tokio::test]
async fn the_edges_are_plausible() {
    for date in [
        "2000-01-01 00:00:00",
        "2025-06-15 18:00:00",
        "2025-06-17 12:00:00",
    ] {
        let order = format!(r#"{{"id":5,"date":"{date}"}}"#);
        let Records::Orders(rows) = listed(Resource::Orders, "/orders", &order).await else {
            panic!("orders were asked for");
        };
        assert!(rows[0].outcome.is_ok(), "{date}");
    }
}

#[tokio::test]
async fn a_date_that_nothing_depends_on_is_left_out() {
    for date in IMPLAUSIBLE {
        let customer = format!(r#"{{"id":6,"created_at":{date},"updated_at":{date}}}"#);
        let order = format!(
            r#"{{"id":5,"date":"2025-06-01 10:00:00","updated_at":{date},"customer":{customer}}}"#
        );
        let Records::Orders(mut rows) = listed(Resource::Orders, "/orders", &order).await else {
            panic!("orders were asked for");
        };
        let order = rows.remove(0).outcome.unwrap();
        assert_eq!(order.updated_at, None, "{date}");
        let Some(OrderCustomer::Known(known)) = order.customer else {
            panic!("the order names a customer");
        };
        assert_eq!((known.created_at, known.updated_at), (None, None), "{date}");

        let Records::Customers(mut rows) =
            listed(Resource::Customers, "/customers", &customer).await
        else {
            panic!("customers were asked for");
        };
        let known = rows.remove(0).outcome.unwrap();
        assert_eq!((known.created_at, known.updated_at), (None, None), "{date}");

        let product = format!(r#"{{"id":7,"updated_at":{date}}}"#);
        let Records::Products(mut rows) = listed(Resource::Products, "/products", &product).await
        else {
            panic!("products were asked for");
        };
        assert_eq!(rows.remove(0).outcome.unwrap().updated_at, None, "{date}");

        let category = format!(
            r#"{{"id":8,"update_at":{date},"sub_categories":[{{"id":9,"update_at":{date}}}]}}"#
        );
        let Records::Categories(mut rows) =
            listed(Resource::Categories, "/categories", &category).await
        else {
            panic!("categories were asked for");
        };
        let category = rows.remove(0).outcome.unwrap();
        assert_eq!(category.updated_at, None, "{date}");
        assert_eq!(category.sub_categories[0].updated_at, None, "{date}");
    }
}

#[tokio::test]
async fn a_birthday_is_that_of_somebody_who_lives() {
    let table = [
        ("1899-12-31", None),
        ("1931-05-02", Some("1931-05-02")),
        ("1970-01-01", Some("1970-01-01")),
        ("2055-01-01", None),
        ("-0001-11-30", None),
    ];
    for (birthday, expected) in table {
        let customer = format!(r#"{{"id":6,"birthday":"{birthday}"}}"#);
        let Records::Customers(mut rows) =
            listed(Resource::Customers, "/customers", &customer).await
        else {
            panic!("customers were asked for");
        };
        let read = rows.remove(0).outcome.unwrap().birthday;
        assert_eq!(
            read.map(|day| day.to_string()).as_deref(),
            expected,
            "{birthday}"
        );
    }
}
