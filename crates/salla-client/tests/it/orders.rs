//! The forms of an order, and the values that drift.

use domain::order::{Completeness, Order, OrderCustomer, StatusRef};
use salla_client::translate;
use serde_json::value::RawValue;

use crate::published::decimal;

fn order(rest: &str) -> Order {
    let json = format!(r#"{{"id":5,"date":"2024-02-15 08:23:05",{rest}}}"#);
    translate::order(&RawValue::from_string(json).unwrap()).unwrap()
}

fn item(rest: &str) -> domain::order::OrderItem {
    let json = format!(r#"[{{"id":1,"quantity":1,{rest}}}]"#);
    let raw = RawValue::from_string(json).unwrap();
    translate::order_items(&raw).unwrap().remove(0)
}

#[test]
fn which_forms_hold_items() {
    let full = r#"[{"id":1,"quantity":1,"amounts":{}}]"#;
    let header = r#"[{"name":"a","quantity":1,"thumbnail":null}]"#;
    let table = [
        ("", "", None, Completeness::Header),
        ("", r#""items":[],"#, None, Completeness::Header),
        ("", r#""items":[null,7],"#, None, Completeness::Header),
        (
            "",
            &format!(r#""items":{header},"#),
            None,
            Completeness::Header,
        ),
        (
            r#""amounts":{},"#,
            "",
            None,
            Completeness::DetailWithoutItems,
        ),
        (
            r#""amounts":{},"#,
            r#""items":null,"#,
            None,
            Completeness::DetailWithoutItems,
        ),
        (
            r#""amounts":{},"#,
            r#""items":[],"#,
            None,
            Completeness::DetailWithoutItems,
        ),
        (
            r#""amounts":{},"#,
            r#""items":{},"#,
            None,
            Completeness::DetailWithoutItems,
        ),
        (
            r#""amounts":{},"#,
            &format!(r#""items":{header},"#),
            None,
            Completeness::DetailWithoutItems,
        ),
        (
            r#""amounts":{},"#,
            &format!(r#""items":{full},"#),
            Some(1),
            Completeness::Full,
        ),
        (
            r#""amounts":{},"#,
            r#""items":{"3":{"id":1,"quantity":1}},"#,
            Some(1),
            Completeness::Full,
        ),
        (
            r#""amounts":null,"#,
            r#""items":[],"#,
            None,
            Completeness::Header,
        ),
    ];
    for (amounts, items, expected, completeness) in table {
        let order = order(&format!(r#"{amounts}{items}"read":true"#));
        let found = order.items.as_ref().map(Vec::len);
        assert_eq!(found, expected, "{amounts}{items}");
        assert_eq!(order.completeness(), completeness, "{amounts}{items}");
    }
}

#[test]
fn the_currency_comes_from_where_it_stands() {
    let table = [
        (
            r#""currency":"KWD","amounts":{"total":{"amount":1,"currency":"SAR"}}"#,
            Some("KWD"),
        ),
        (
            r#""amounts":{"total":{"amount":1,"currency":"SAR"}}"#,
            Some("SAR"),
        ),
        (r#""total":{"amount":1,"currency":"USD"}"#, Some("USD")),
        (r#""total":1"#, None),
    ];
    for (rest, expected) in table {
        let order = order(rest);
        assert_eq!(order.currency.as_deref(), expected, "{rest}");
        assert_eq!(order.total.unwrap().amount, decimal("1").unwrap(), "{rest}");
    }
}

#[test]
fn money_in_every_form() {
    let table = [
        (r#"{"amount":12.50,"currency":"SAR"}"#, decimal("12.50")),
        (r#"{"amount":"12.50","currency":"SAR"}"#, decimal("12.50")),
        (r#"{"amount":"١٢٫٥٠"}"#, decimal("12.50")),
        ("12.50", decimal("12.50")),
        (r#""12.50""#, decimal("12.50")),
        ("1.25e1", decimal("12.5")),
        ("-3", decimal("-3")),
        // As PHP writes the double nearest to 0.1, and as nothing writes any.
        ("0.1000000000000000055511151231", decimal("0.1")),
        (
            "0.1000000000000000055511151239",
            decimal("0.1000000000000000055511151239"),
        ),
        ("{}", None),
        ("[]", None),
        ("null", None),
        (r#""""#, None),
        (r#"{"amount":null,"currency":"SAR"}"#, None),
        (r#"{"currency":"SAR"}"#, None),
    ];
    for (json, expected) in table {
        let order = order(&format!(r#""total":{json}"#));
        assert_eq!(order.total.map(|m| m.amount), expected, "{json}");
        let item = item(&format!(r#""amounts":{{"price_without_tax":{json}}}"#));
        assert_eq!(item.unit_price, expected, "{json}");
    }
}

#[test]
fn a_status_may_be_little_more_than_a_name() {
    let named = |name: &str| StatusRef {
        name: Some(name.to_owned()),
        ..StatusRef::default()
    };
    let table = [
        (r#"{"name":"تم التنفيذ"}"#, Some(named("تم التنفيذ"))),
        (r#""تم التنفيذ""#, Some(named("تم التنفيذ"))),
        (r#"{"name":"done","customized":{}}"#, Some(named("done"))),
        (r#"{"name":"done","customized":null}"#, Some(named("done"))),
        (
            r#"{"id":"12","slug":"shipped","customized":{"id":34,"name":"on its way"}}"#,
            Some(StatusRef {
                id: Some(12),
                slug: Some("shipped".to_owned()),
                name: None,
                custom_id: Some(34),
                custom_name: Some("on its way".to_owned()),
            }),
        ),
        ("{}", None),
        ("[]", None),
        ("null", None),
        ("7", None),
    ];
    for (json, expected) in table {
        assert_eq!(
            order(&format!(r#""status":{json}"#)).status,
            expected,
            "{json}"
        );
    }
}

#[test]
fn a_guest_is_not_an_unknown_customer() {
    assert_eq!(order(r#""read":true"#).customer, None);
    for guest in [
        "null",
        "{}",
        "[]",
        r#"{"id":null}"#,
        r#"{"id":0,"first_name":"x"}"#,
    ] {
        let order = order(&format!(r#""customer":{guest}"#));
        assert_eq!(order.customer, Some(OrderCustomer::Guest), "{guest}");
    }
    let known = order(r#""customer":{"id":"19940416533","name":"Huda","mobile":"+966500000000"}"#);
    let Some(OrderCustomer::Known(customer)) = known.customer else {
        panic!();
    };
    assert_eq!(customer.id, 19_940_416_533);
    assert_eq!(customer.first_name.as_deref(), Some("Huda"));
    assert_eq!(customer.mobile.as_deref(), Some("+966500000000"));
}

#[test]
fn a_product_may_be_gone() {
    let table = [
        (r#""product":null"#, None),
        (r#""product":{}"#, None),
        (r#""product":[]"#, None),
        (r#""name":"x""#, None),
        (r#""product_id":"8""#, Some(8)),
        (r#""product":{"id":7},"product_id":8"#, Some(7)),
        (r#""product":null,"product_id":8"#, Some(8)),
        (r#""product_id":0"#, None),
    ];
    for (rest, expected) in table {
        assert_eq!(item(rest).product_id, expected, "{rest}");
    }
}

#[test]
fn values_that_drift() {
    let item = item(
        r#""quantity_":1,"name":"\u0642\u0645\u064a\u0635 \/ a","sku":12345,"weight_label":"٥١٠ جم",
           "product":null,"amounts":{"tax":7.5,"total":{"amount":50,"currency":"SAR"}}"#,
    );
    assert_eq!(item.name, "قميص / a");
    assert_eq!(item.sku.as_deref(), Some("12345"));
    assert_eq!((item.tax, item.tax_percent), (decimal("7.5"), None));
    assert_eq!(item.currency.as_deref(), Some("SAR"));
}

/// PostgreSQL takes no U+0000 in a text, and half a surrogate is no character.
#[test]
fn text_that_no_database_takes() {
    assert_eq!(item(r#""name":"a\u0000b""#).name, "a\u{fffd}b");
    assert_eq!(item(r#""name":"a\ud800b""#).name, "a\u{fffd}b");
    for escape in [r"\u0000", r"\ud800", r"\udc00"] {
        let json =
            format!(r#"{{"id":5,"date":"2024-02-15 08:23:05","\ud800":1,"status":"a{escape}b"}}"#);
        let raw = RawValue::from_string(json.clone()).unwrap();
        let read = translate::decode(&raw, translate::order);
        assert_eq!(&*read.raw, json, "the raw record stays as it was sent");
        let status = read.outcome.unwrap().status.unwrap();
        assert_eq!(status.name.as_deref(), Some("a\u{fffd}b"), "{escape}");
    }
}

/// PHP's settings know no difference between fields.
#[test]
fn long_floats_are_read_in_every_field() {
    for long in [
        "67.200000000000003",
        "67.2000000000000028421709430404007434844970703125",
        r#""67.2000000000000028421709430404007434844970703125""#,
    ] {
        let expected = decimal("67.2");
        let order = order(&format!(
            r#""exchange_rate":{{"exchange_currency":"USD","rate":{long}}},"amounts":{{
                "sub_total":{{"amount":{long}}},"shipping_cost":{{"amount":{long}}},
                "cash_on_delivery":{long},"total":{{"amount":{long}}},
                "tax":{{"percent":{long},"amount":{{"amount":{long}}}}},
                "discounts":[{{"discount":{long},"discounted_shipping":{long}}}]}}"#
        ));
        let amounts = order.amounts.unwrap();
        let discount = &amounts.discounts[0];
        let read = [
            order.total.map(|total| total.amount),
            order.exchange_rate.unwrap().rate,
            amounts.subtotal,
            amounts.shipping,
            amounts.cash_on_delivery,
            amounts.tax_percent,
            amounts.tax,
            amounts.discount_total(),
            discount.shipping_amount,
        ];
        assert_eq!(read, [expected; 9], "{long}");

        let items = format!(
            r#"[{{"id":1,"quantity":{long},"amounts":{{"price_without_tax":{{"amount":{long}}},
                "total_discount":{{"amount":{long}}},"total":{{"amount":{long}}},
                "tax":{{"percent":{long},"amount":{long}}}}}}}]"#
        );
        let items = translate::order_items(&RawValue::from_string(items).unwrap()).unwrap();
        let item = &items[0];
        let read = [
            Some(item.quantity),
            item.unit_price,
            item.discount,
            item.total,
            item.tax_percent,
            item.tax,
        ];
        assert_eq!(read, [expected; 6], "{long}");

        let money = format!(r#"{{"amount":{long}}}"#);
        let prices = format!(
            r#""price":{money},"regular_price":{money},"sale_price":{money},"cost_price":{long}"#
        );
        let product = format!(
            r#"{{"id":5,{prices},"quantity":{long},"sold_quantity":{long},"weight":{long},
                "skus":[{{"id":6,{prices},"stock_quantity":{long}}}]}}"#
        );
        let product = translate::product(&RawValue::from_string(product).unwrap()).unwrap();
        let variant = &product.variants[0];
        let amount = |money: &Option<domain::numbers::Money>| money.as_ref().map(|m| m.amount);
        let read = [
            amount(&product.price),
            amount(&product.regular_price),
            amount(&product.sale_price),
            product.cost_price,
            product.quantity,
            product.sold_quantity,
            product.weight,
            amount(&variant.price),
            amount(&variant.regular_price),
            amount(&variant.sale_price),
            variant.cost_price,
            variant.stock_quantity,
        ];
        assert_eq!(read, [expected; 12], "{long}");
    }
}
