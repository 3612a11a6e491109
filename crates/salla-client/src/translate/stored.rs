//! Reading raw texts that were kept, as if Salla had just sent them.

use domain::order::{Order, OrderItem};
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use importer::ports::platform::{Decoded, Records};
use importer::ports::records::Translator;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::fields::Defect;
use super::{
    category, customer, decode, order, order_items, order_status, product, with_plausible_dates,
    with_plausible_dates_of_list,
};

/// The translation of responses, applied to single texts.
#[derive(Clone, Copy, Debug)]
pub struct RawTranslator {
    /// No record can be younger.
    pub now: Timestamp,
}

impl Translator for RawTranslator {
    fn list_row(&self, resource: Resource, raw: &str) -> Records {
        let records = match resource {
            Resource::Orders => Records::Orders(vec![read(raw, order)]),
            Resource::Customers => Records::Customers(vec![read(raw, customer)]),
            Resource::Products => Records::Products(vec![read(raw, product)]),
            Resource::Categories => Records::Categories(vec![read(raw, category)]),
            Resource::OrderStatuses => Records::OrderStatuses(vec![read(raw, order_status)]),
        };
        with_plausible_dates_of_list(records, self.now)
    }

    fn order(&self, raw: &str) -> Decoded<Order> {
        with_plausible_dates(read(raw, order), self.now)
    }

    fn order_items(&self, raw: &str) -> Decoded<Vec<OrderItem>> {
        read(raw, order_items)
    }
}

/// A text that was cut to what a database can hold need not be JSON any more.
fn read<T>(text: &str, translate: fn(&RawValue) -> Result<T, Rejection>) -> Decoded<T> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => decode(raw, translate),
        Err(_) => Decoded {
            raw: text.into(),
            outcome: Err(
                Defect::new(RejectionCode::InvalidJson, "the stored text is not JSON").reject(None),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_PRESENT: RawTranslator = RawTranslator {
        now: Timestamp::constant(1_750_000_000, 0),
    };

    #[test]
    fn a_kept_text_with_a_date_that_cannot_be_true_is_refused() {
        let row = r#"{"id":7,"date":"2055-06-01 10:00:00"}"#;
        for read in [AT_PRESENT.order(row), {
            let Records::Orders(mut listed) = AT_PRESENT.list_row(Resource::Orders, row) else {
                panic!("orders were asked for");
            };
            listed.remove(0)
        }] {
            let rejection = read.outcome.unwrap_err();
            assert_eq!(rejection.code, RejectionCode::InvalidDate);
            assert_eq!(rejection.salla_id, Some(7));
        }
    }

    #[test]
    fn a_kept_text_reads_like_the_row_of_a_list() {
        let row = r#"{"id":7,"date":{"date":"2025-06-01 10:00:00.000000"}}"#;
        let raw: &RawValue = serde_json::from_str(row).unwrap();
        let Records::Orders(listed) = super::super::decode_list(Resource::Orders, vec![raw]) else {
            panic!("orders were asked for");
        };
        let Records::Orders(stored) = AT_PRESENT.list_row(Resource::Orders, row) else {
            panic!("orders were asked for");
        };
        assert_eq!(listed[0].outcome, stored[0].outcome);
        assert_eq!(stored[0].outcome.as_ref().unwrap().id, 7);
    }

    #[test]
    fn a_text_that_is_no_json_is_refused_with_a_reason() {
        let read = AT_PRESENT.order("not json").outcome.unwrap_err();
        assert_eq!(read.code, RejectionCode::InvalidJson);
    }
}
