//! Hand-made oddities: what rejects a record, with code and path, and what does
//! not.

use domain::rejection::{Rejection, RejectionCode as Code};
use domain::resource::Resource;
use importer::ports::platform::{Decoded, Records};
use salla_client::translate;
use serde_json::value::RawValue;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn rejection(resource: Resource, json: &str) -> Option<Rejection> {
    fn only<T>(records: Vec<Decoded<T>>) -> Option<Rejection> {
        records.into_iter().next().unwrap().outcome.err()
    }
    let raw = raw(json);
    match translate::decode_list(resource, vec![&raw]) {
        Records::Orders(records) => only(records),
        Records::Customers(records) => only(records),
        Records::Products(records) => only(records),
        Records::Categories(records) => only(records),
        Records::OrderStatuses(records) => only(records),
    }
}

/// A sound full order, so that each case changes one thing.
const ORDER: &str = r#"{
    "id": 5, "reference_id": 77, "currency": "SAR",
    "date": {"date": "2024-02-15 08:23:05.000000", "timezone_type": 3, "timezone": "Asia/Riyadh"},
    "amounts": {
        "sub_total": {"amount": 10, "currency": "SAR"},
        "tax": {"percent": "15.00", "amount": {"amount": 1.5, "currency": "SAR"}},
        "discounts": [{"discount": "0.50", "discounted_shipping": 0}],
        "total": {"amount": 11.0, "currency": "SAR"}
    },
    "customer": {"id": 9, "first_name": "Huda"},
    "items": [
        {"id": 21, "name": "a", "quantity": 1, "amounts": {"total": {"amount": 5, "currency": "SAR"}}},
        {"id": 22, "name": "b", "quantity": 2, "amounts": {"tax": {"percent": 15, "amount": 0.5}}}
    ]
}"#;

fn check(resource: Resource, json: &str, code: Code, path: &str, salla_id: Option<i64>) {
    let rejection = rejection(resource, json).unwrap_or_else(|| panic!("accepted: {json}"));
    assert_eq!(
        (rejection.code, rejection.path.as_str()),
        (code, path),
        "{json}"
    );
    assert_eq!(rejection.salla_id, salla_id, "{json}");
}

#[test]
fn what_rejects_any_record() {
    let table = [
        ("null", Code::NotAnObject, "$"),
        ("[]", Code::NotAnObject, "$"),
        ("[1]", Code::NotAnObject, "$"),
        (r#""text""#, Code::NotAnObject, "$"),
        ("7", Code::NotAnObject, "$"),
        ("1.5", Code::NotAnObject, "$"),
        ("true", Code::NotAnObject, "$"),
        ("{}", Code::MissingId, "$.id"),
        (r#"{"id":null}"#, Code::MissingId, "$.id"),
        (r#"{"id":""}"#, Code::MissingId, "$.id"),
        (r#"{"id":{}}"#, Code::MissingId, "$.id"),
        (r#"{"id":0}"#, Code::InvalidId, "$.id"),
        (r#"{"id":-3}"#, Code::InvalidId, "$.id"),
        (r#"{"id":"abc"}"#, Code::InvalidId, "$.id"),
        (r#"{"id":1.5}"#, Code::InvalidId, "$.id"),
        (r#"{"id":true}"#, Code::InvalidId, "$.id"),
        (r#"{"id":[4]}"#, Code::InvalidId, "$.id"),
        (r#"{"id":9223372036854775808}"#, Code::OutOfRange, "$.id"),
        (r#"{"id":"99999999999999999999"}"#, Code::OutOfRange, "$.id"),
        (r#"{"id":5,"id":5}"#, Code::InvalidJson, "$"),
    ];
    for resource in Resource::ALL {
        for (json, code, path) in table {
            check(resource, json, code, path, None);
        }
    }
    let twice = r#"{"id":5,"name":"a","name":"b"}"#;
    check(Resource::Products, twice, Code::InvalidJson, "$", Some(5));
}

#[test]
fn what_rejects_an_order() {
    assert_eq!(rejection(Resource::Orders, ORDER), None);
    let date =
        r#"{"date": "2024-02-15 08:23:05.000000", "timezone_type": 3, "timezone": "Asia/Riyadh"}"#;
    let customer = r#"{"id": 9, "first_name": "Huda"}"#;
    let discounts = r#"[{"discount": "0.50", "discounted_shipping": 0}]"#;
    let item = r#""id": 22, "name": "b", "quantity": 2"#;
    let item_tax = r#"{"percent": 15, "amount": 0.5}"#;
    let table = [
        (date, "null", Code::MissingDate, "$.date"),
        (date, "{}", Code::MissingDate, "$.date"),
        (date, r#""soon""#, Code::InvalidDate, "$.date"),
        (
            date,
            r#""0000-00-00 00:00:00""#,
            Code::InvalidDate,
            "$.date",
        ),
        (
            date,
            r#"{"date":"2024-13-01 00:00:00"}"#,
            Code::InvalidDate,
            "$.date",
        ),
        (date, "true", Code::InvalidDate, "$.date"),
        (
            r#""amount": 11.0"#,
            r#""amount": "abc""#,
            Code::InvalidAmount,
            "$.amounts.total.amount",
        ),
        (
            r#""amount": 11.0"#,
            r#""amount": true"#,
            Code::InvalidAmount,
            "$.amounts.total.amount",
        ),
        (
            r#""amount": 11.0"#,
            r#""amount": [1]"#,
            Code::InvalidAmount,
            "$.amounts.total.amount",
        ),
        (
            r#""amount": 11.0"#,
            r#""amount": 1e60"#,
            Code::OutOfRange,
            "$.amounts.total.amount",
        ),
        (
            r#""amount": 11.0"#,
            r#""amount": "1,100""#,
            Code::InvalidAmount,
            "$.amounts.total.amount",
        ),
        (
            r#"{"amount": 10, "currency": "SAR"}"#,
            r#""ten""#,
            Code::InvalidAmount,
            "$.amounts.sub_total",
        ),
        (
            r#"{"amount": 1.5, "currency": "SAR"}"#,
            r#"{"amount":"?"}"#,
            Code::InvalidAmount,
            "$.amounts.tax.amount.amount",
        ),
        (
            r#""0.50""#,
            r#""half""#,
            Code::InvalidAmount,
            "$.amounts.discounts[0].discount",
        ),
        (
            r#""discounted_shipping": 0"#,
            r#""discounted_shipping": "x""#,
            Code::InvalidAmount,
            "$.amounts.discounts[0].discounted_shipping",
        ),
        (discounts, "7", Code::InvalidField, "$.amounts.discounts"),
        (
            discounts,
            r#"[{"discount":79228162514264337593543950335},{"discount":1}]"#,
            Code::OutOfRange,
            "$.amounts.discounts",
        ),
        (
            discounts,
            "[{},7]",
            Code::InvalidField,
            "$.amounts.discounts[1]",
        ),
        (customer, "7", Code::InvalidField, "$.customer"),
        (customer, r#"{"id":"x"}"#, Code::InvalidId, "$.customer.id"),
        (customer, r#"{"id":-4}"#, Code::InvalidId, "$.customer.id"),
        (
            item,
            r#""name": "b", "quantity": 2"#,
            Code::MissingId,
            "$.items[1].id",
        ),
        (
            item,
            r#""id": "x", "quantity": 2"#,
            Code::InvalidId,
            "$.items[1].id",
        ),
        (
            item,
            r#""id": 22, "quantity": "two""#,
            Code::InvalidQuantity,
            "$.items[1].quantity",
        ),
        (
            item,
            r#""id": 22, "quantity": null"#,
            Code::InvalidQuantity,
            "$.items[1].quantity",
        ),
        (
            item_tax,
            r#"{"amount":"?"}"#,
            Code::InvalidAmount,
            "$.items[1].amounts.tax.amount",
        ),
        (
            r#"{"tax": {"percent": 15, "amount": 0.5}}"#,
            "7",
            Code::InvalidField,
            "$.items[1].amounts",
        ),
        (
            r#""reference_id": 77"#,
            r#""exchange_rate": {"rate":"x"}"#,
            Code::InvalidAmount,
            "$.exchange_rate.rate",
        ),
        (
            r#""reference_id": 77"#,
            r#""total": {"amount":"x"}"#,
            Code::InvalidAmount,
            "$.total.amount",
        ),
    ];
    for (good, bad, code, path) in table {
        assert!(ORDER.contains(good), "{good}");
        check(
            Resource::Orders,
            &ORDER.replacen(good, bad, 1),
            code,
            path,
            Some(5),
        );
    }
    let no_items = r#"{"id":5,"date":"2024-02-15 08:23:05","amounts":{},"items":7}"#;
    check(
        Resource::Orders,
        no_items,
        Code::InvalidField,
        "$.items",
        Some(5),
    );
    let no_object = r#"{"id":5,"date":"2024-02-15 08:23:05","amounts":{},"items":[{"id":1,"quantity":1},null]}"#;
    check(
        Resource::Orders,
        no_object,
        Code::InvalidField,
        "$.items[1]",
        Some(5),
    );
    let no_amounts = r#"{"id":5,"date":"2024-02-15 08:23:05","amounts":"x"}"#;
    check(
        Resource::Orders,
        no_amounts,
        Code::InvalidField,
        "$.amounts",
        Some(5),
    );
}

#[test]
fn what_rejects_a_product() {
    let table = [
        (
            r#"{"id":5,"price":{"amount":"x"}}"#,
            Code::InvalidAmount,
            "$.price.amount",
        ),
        (
            r#"{"id":5,"cost_price":"cheap"}"#,
            Code::InvalidAmount,
            "$.cost_price",
        ),
        (
            r#"{"id":5,"quantity":"many"}"#,
            Code::InvalidQuantity,
            "$.quantity",
        ),
        (
            r#"{"id":5,"quantity":1e40}"#,
            Code::OutOfRange,
            "$.quantity",
        ),
        (r#"{"id":5,"skus":7}"#, Code::InvalidField, "$.skus"),
        (
            r#"{"id":5,"skus":[{"id":1},7]}"#,
            Code::InvalidField,
            "$.skus[1]",
        ),
        (r#"{"id":5,"skus":[{}]}"#, Code::MissingId, "$.skus[0].id"),
        (
            r#"{"id":5,"skus":[{"id":1},{"id":2,"stock_quantity":"x"}]}"#,
            Code::InvalidQuantity,
            "$.skus[1].stock_quantity",
        ),
        (
            r#"{"id":5,"skus":[{"id":1,"price":{"amount":{"a":1}}}]}"#,
            Code::InvalidAmount,
            "$.skus[0].price.amount",
        ),
        (
            r#"{"id":5,"skus":[{"id":1},null]}"#,
            Code::InvalidField,
            "$.skus[1]",
        ),
        (
            r#"{"id":5,"skus":{"first":{"id":1}}}"#,
            Code::InvalidField,
            "$.skus",
        ),
        (
            r#"{"id":5,"categories":{"id":7}}"#,
            Code::InvalidField,
            "$.categories",
        ),
        (
            r#"{"id":5,"categories":"all"}"#,
            Code::InvalidField,
            "$.categories",
        ),
        (
            r#"{"id":5,"skus":[{"id":1,"related_option_values":7}]}"#,
            Code::InvalidField,
            "$.skus[0].related_option_values",
        ),
    ];
    for (json, code, path) in table {
        check(Resource::Products, json, code, path, Some(5));
    }
}

#[test]
fn what_rejects_a_category() {
    let table = [
        (
            r#"{"id":5,"sub_categories":7}"#,
            Code::InvalidField,
            "$.sub_categories",
        ),
        (
            r#"{"id":5,"sub_categories":[{"id":6},null]}"#,
            Code::InvalidField,
            "$.sub_categories[1]",
        ),
        (
            r#"{"id":5,"sub_categories":[{"id":6,"name":"a"},{"id":6,"name":"b"}]}"#,
            Code::InvalidField,
            "$.sub_categories",
        ),
        (
            r#"{"id":5,"sub_categories":[{"id":6,"sub_categories":[{"id":5,"name":"b"}]}]}"#,
            Code::InvalidField,
            "$.sub_categories",
        ),
    ];
    for (json, code, path) in table {
        check(Resource::Categories, json, code, path, Some(5));
    }
    let same = r#"{"id":5,"sub_categories":[{"id":6,"name":"a"},{"id":6,"name":"a"}]}"#;
    assert_eq!(rejection(Resource::Categories, same), None);
}

/// An entry is an entry, whether or not it names something and however often.
#[test]
fn entries_of_a_product_are_all_kept() {
    let product = r#"{"id":5,"categories":[{"id":7},null,7,"x",{"id":7}],"skus":[
        {"id":1,"sku":"a","related_option_values":[3,null,"3",{}]},{"id":1,"sku":"b"},{"id":1,"sku":"b"}]}"#;
    let product = translate::product(&raw(product)).unwrap();
    assert_eq!(
        product.category_ids,
        [Some(7), None, Some(7), None, Some(7)]
    );
    let variants: Vec<_> = product
        .variants
        .iter()
        .map(|v| (v.id, v.sku.as_deref()))
        .collect();
    assert_eq!(variants, [(1, Some("a")), (1, Some("b")), (1, Some("b"))]);
    assert_eq!(
        product.variants[0].option_value_ids,
        [Some(3), None, Some(3), None]
    );
}

#[test]
fn lines_with_one_id_are_all_kept() {
    let items = r#"[{"id":1,"name":"a","quantity":1},{"id":1,"name":"b","quantity":2},{"id":1,"name":"b","quantity":2}]"#;
    let items = translate::order_items(&raw(items)).unwrap();
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "b"]);
}

#[test]
fn what_rejects_a_list_of_items() {
    let table = [
        ("7", Code::InvalidField, "$"),
        (r#"{"message":"x"}"#, Code::InvalidField, "$"),
        ("[7]", Code::InvalidField, "$[0]"),
        (
            r#"[{"id":1,"quantity":1},{"name":"x","quantity":1}]"#,
            Code::MissingId,
            "$[1].id",
        ),
        (
            r#"[{"id":1,"quantity":"?"}]"#,
            Code::InvalidQuantity,
            "$[0].quantity",
        ),
        (
            r#"[{"id":1,"quantity":1,"amounts":{"total":{"amount":"?"}}}]"#,
            Code::InvalidAmount,
            "$[0].amounts.total.amount",
        ),
    ];
    for (json, code, path) in table {
        let rejection = translate::order_items(&raw(json)).unwrap_err();
        assert_eq!(
            (rejection.code, rejection.path.as_str()),
            (code, path),
            "{json}"
        );
    }
    for empty in ["[]", "{}"] {
        assert_eq!(translate::order_items(&raw(empty)), Ok(vec![]), "{empty}");
    }
    // These say nothing of the items, not even that there are none.
    for nothing in ["null", r#""""#] {
        let rejection = translate::order_items(&raw(nothing)).unwrap_err();
        assert_eq!(rejection.code, Code::MissingItems, "{nothing}");
    }
}

#[test]
fn what_rejects_nothing() {
    let order = |rest: &str| format!(r#"{{"id":5,"date":"2024-02-15 08:23:05",{rest}}}"#);
    let orders = [
        r#""unknown_field":[1,{"a":null}]"#,
        r#""status":{"slug":"never_seen_before"},"payment_method":"beads""#,
        r#""status":7,"source":{"a":1},"currency":null"#,
        r#""reference_id":"ABC-1","updated_at":"soon""#,
        r#""total":{},"exchange_rate":[],"amounts":null"#,
        r#""amounts":{"total":{"amount":1},"sub_total":{"amount":1000}}"#,
        r#""amounts":{"tax":{"percent":"much","amount":null}}"#,
        r#""items":"none""#,
    ];
    for rest in orders {
        let json = order(rest);
        assert_eq!(rejection(Resource::Orders, &json), None, "{json}");
    }
    let customer = r#"{"id":5,"birthday":"once","updated_at":[7],"urls":7,"gender":{"a":1},
        "first_name":["x"],"mobile":{},"created_at":"0000-00-00 00:00:00"}"#;
    assert_eq!(rejection(Resource::Customers, customer), None);
    let product = r#"{"id":5,"weight":"heavy","updated_at":"x","urls":7,"brand":7,"sale_price":{},
        "quantity":null,"categories":[{"id":"x"},null,7],"skus":{},"is_available":"perhaps"}"#;
    assert_eq!(rejection(Resource::Products, product), None);
    let category = r#"{"id":5,"sort_order":"last","parent_id":"x","update_at":"x"}"#;
    assert_eq!(rejection(Resource::Categories, category), None);
}

#[test]
fn a_bad_record_costs_only_itself() {
    let rows = [raw(ORDER), raw(r#"{"id":6}"#), raw("null"), raw(ORDER)];
    let rows = rows.iter().map(AsRef::as_ref).collect();
    let Records::Orders(records) = translate::decode_list(Resource::Orders, rows) else {
        panic!();
    };
    let sound: Vec<_> = records.iter().map(|r| r.outcome.is_ok()).collect();
    assert_eq!(sound, [true, false, false, true]);
    assert_eq!(&*records[0].raw, ORDER);
    assert_eq!(&*records[2].raw, "null");
}

/// A message may be logged, so no value may get into it.
#[test]
fn messages_quote_no_value() {
    let secret = "SECRET4711";
    for member in [
        "id", "date", "total", "items", "customer", "amounts", "price", "quantity",
    ] {
        for resource in Resource::ALL {
            let base = if member == "id" { "" } else { r#""id":5,"# };
            let json = format!(r#"{{{base}"{member}":"{secret}"}}"#);
            if let Some(rejection) = rejection(resource, &json) {
                assert!(!format!("{rejection:?}").contains(secret), "{json}");
            }
        }
    }
}
