//! Takes people out of Salla's texts. What is kept is named here, so that a field that Salla
//! adds is left out.

use std::collections::BTreeMap;

use importer::ports::privacy::Redactor;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lenient::Object;
use crate::wire;

/// What the translation of an order reads, beside its customer and its items.
const ORDER: [&str; 11] = [
    "id",
    "reference_id",
    "date",
    "updated_at",
    "status",
    "payment_method",
    "source",
    "currency",
    "total",
    "exchange_rate",
    "amounts",
];
const ITEM: [&str; 7] = [
    "id",
    "product_id",
    "name",
    "sku",
    "quantity",
    "currency",
    "amounts",
];
const PRODUCT: [&str; 2] = ["id", "name"];

/// [`Redactor`] for Salla's JSON.
#[derive(Clone, Copy, Debug)]
pub struct Redacting;

/// Members by their names, as written.
type Members<'a> = BTreeMap<String, &'a RawValue>;

fn members(text: &str) -> Option<Members<'_>> {
    serde_json::from_str(text).ok()
}

/// `"name":value` of those that are to be kept.
fn kept(members: &Members<'_>, names: &[&str]) -> Vec<String> {
    let kept = names.iter().filter_map(|name| {
        let value = members.get(*name)?;
        Some(format!("\"{name}\":{}", value.get()))
    });
    kept.collect()
}

fn object(parts: &[String]) -> String {
    format!("{{{}}}", parts.join(","))
}

fn items(text: &str) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let items = items.into_iter().map(|item| {
        // What is no item stays what it is to the translation: nothing that can be read.
        let Some(item) = members(item.get()) else {
            return "null".to_owned();
        };
        let mut parts = kept(&item, &ITEM);
        if let Some(product) = item.get("product").and_then(|text| members(text.get())) {
            let product = object(&kept(&product, &PRODUCT));
            parts.push(format!("\"product\":{product}"));
        }
        object(&parts)
    });
    let items: Vec<String> = items.collect();
    Some(format!("[{}]", items.join(",")))
}

impl Redactor for Redacting {
    fn customer(&self, stand_in: i64) -> String {
        format!("{{\"id\":{stand_in}}}")
    }

    fn order(&self, raw: &str, stand_in: i64) -> String {
        let Some(order) = members(raw) else {
            return String::new();
        };
        let mut parts = kept(&order, &ORDER);
        if order.contains_key("customer") {
            parts.push(format!("\"customer\":{}", self.customer(stand_in)));
        }
        if let Some(text) = order.get("items") {
            let items = match text.get() {
                // How PHP writes an empty list.
                "{}" => "{}".to_owned(),
                text => items(text).unwrap_or_else(|| "null".to_owned()),
            };
            parts.push(format!("\"items\":{items}"));
        }
        object(&parts)
    }

    fn order_items(&self, raw: &str) -> String {
        items(raw).unwrap_or_default()
    }

    fn customer_of(&self, raw: &str) -> Option<i64> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Owned<'a> {
            #[serde(borrow)]
            customer: Object<wire::Customer<'a>>,
        }
        let order: Object<Owned<'_>> = serde_json::from_str(raw).ok()?;
        let customer = order.get()?.customer.get()?;
        customer.id.integer().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use domain::order::OrderCustomer;
    use importer::ports::records::Translator as _;
    use jiff::Timestamp;

    use super::*;
    use crate::translate::RawTranslator;

    const STAND_IN: i64 = 1 << 62;

    const ORDER: &str = r#"{"id":7,"reference_id":"12","date":{"date":"2025-06-01 10:00:00.000000","timezone":"Asia/Riyadh"},
        "status":{"id":1,"slug":"completed","name":"تم"},"total":{"amount":115.10000000000000000000001,"currency":"SAR"},
        "amounts":{"sub_total":{"amount":"100","currency":"SAR"},"discounts":[{"title":"x","code":"SAVE"}]},
        "customer":{"id":5001,"first_name":"سارة","mobile":555},"receiver":{"name":"سارة"},
        "shipping":{"address":{"street":"King Fahd Road"}},"note":"call Sara",
        "items":[{"id":1,"name":"عباية","quantity":2,"notes":"for Sara","options":[{"value":"Sara"}],
                  "amounts":{"total":{"amount":100,"currency":"SAR"}},"product":{"id":9,"name":"p","thumbnail":"Sara.jpg"}}]}"#;

    #[test]
    fn an_order_reads_the_same_without_the_person() {
        let texts = RawTranslator {
            now: Timestamp::constant(1_760_000_000, 0),
        };
        let redacted = Redacting.order(ORDER, STAND_IN);
        for word in ["سارة", "Sara", "King Fahd", "5001", "555", "receiver"] {
            assert!(!redacted.contains(word), "{word}: {redacted}");
        }
        let before = texts.order(ORDER).outcome.unwrap();
        let mut after = texts.order(&redacted).outcome.unwrap();
        assert_eq!(
            after.customer.as_ref().and_then(OrderCustomer::id),
            Some(STAND_IN)
        );
        after.customer.clone_from(&before.customer);
        assert_eq!(after, before, "amounts, items and dates are what they were");
        assert_eq!(Redacting.order(&redacted, STAND_IN), redacted);
    }

    #[test]
    fn whose_order_it_is_can_be_read_of_what_is_no_order() {
        for (text, customer) in [
            (ORDER, Some(5001)),
            (r#"{"customer":{"id":"5001"}}"#, Some(5001)),
            (r#"{"customer":[]}"#, None),
            (r#"{"id":5001}"#, None),
            ("5001", None),
            ("no json", None),
        ] {
            assert_eq!(Redacting.customer_of(text), customer, "{text}");
        }
    }

    #[test]
    fn of_what_cannot_be_read_nothing_is_kept() {
        for text in ["", "no json", "[1]", "\"Sara\""] {
            assert_eq!(Redacting.order(text, STAND_IN), "", "{text}");
        }
        assert_eq!(
            Redacting.order(r#"{"id":1,"\u006eote":"Sara"}"#, STAND_IN),
            r#"{"id":1}"#
        );
        assert_eq!(
            Redacting.order_items(r#"["Sara",{"id":1,"note":"Sara"}]"#),
            r#"[null,{"id":1}]"#
        );
        assert_eq!(Redacting.order_items("Sara"), "");
    }
}
