//! Records that could not be understood. One bad record never costs its page: it is
//! stored with its raw text, the place and the reason
//! (ARCHITECTURE.md#failures-by-who-must-act).

use serde::{Deserialize, Serialize};

crate::names! {
    /// Why a record was rejected. The codes are stable: operators filter by them and `rejected replay`
    /// selects by them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum RejectionCode {
        /// The list entry is not a JSON object.
        NotAnObject = "not_an_object",
        /// The entry is not JSON that can be decoded at all.
        InvalidJson = "invalid_json",
        MissingId = "missing_id",
        InvalidId = "invalid_id",
        MissingDate = "missing_date",
        InvalidDate = "invalid_date",
        InvalidAmount = "invalid_amount",
        InvalidQuantity = "invalid_quantity",
        /// A field has a type that no known quirk explains.
        InvalidField = "invalid_field",
        /// A number is too large for its column.
        OutOfRange = "out_of_range",
        /// An order is there and its items are not found, or cannot be had.
        MissingItems = "missing_items",
        /// The record alone is longer than any response that is read.
        TooLarge = "too_large",
        /// Salla never serves this record, while it serves others.
        NotServed = "not_served",
        /// The record was understood and the database does not take it: a constraint, the
        /// limit of an index, a column's type, or a trigger.
        RefusedByDatabase = "refused_by_database",
    }
}

/// Why one record was rejected, and which part of it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub code: RejectionCode,
    /// JSON path inside the record, for example `$.items[2].quantity`; of a record that
    /// the database refused, its table and column, for example `products.sku`.
    pub path: String,
    /// A sentence for the operator. It never quotes the offending value, which may
    /// be personal data; the raw record is kept in the database beside it.
    pub message: String,
    /// The record's id where at least that could be read.
    pub salla_id: Option<i64>,
}

impl Rejection {
    /// Of an order whose items Salla leaves out.
    pub fn no_items(order_id: Option<i64>) -> Self {
        Self {
            code: RejectionCode::MissingItems,
            path: "$".to_owned(),
            message: "Salla has the order, but responds that it has no items".to_owned(),
            salla_id: order_id,
        }
    }
}

/// How many rejections of one kind stop a run: from here on it is more likely that our
/// reading is wrong than that the shop's data is
/// (ARCHITECTURE.md#failures-by-who-must-act).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RejectionLimit {
    /// At least this many rejections of one kind …
    pub at_least: u64,
    /// … and more than this share of the records of the resource seen so far.
    pub share: f64,
}

impl Default for RejectionLimit {
    fn default() -> Self {
        Self {
            at_least: 20,
            share: 0.05,
        }
    }
}

impl RejectionLimit {
    pub fn exceeded(&self, of_one_kind: u64, records_seen: u64) -> bool {
        of_one_kind >= self.at_least && of_one_kind as f64 > self.share * records_seen as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stops_only_when_both_bounds_are_passed() {
        let limit = RejectionLimit::default();
        let table = [
            (19, 19, false),
            (20, 20, true),
            (20, 400, false),
            (21, 400, true),
            (500, 10_000, false),
            (501, 10_000, true),
            (0, 0, false),
        ];
        for (rejected, seen, expected) in table {
            assert_eq!(
                limit.exceeded(rejected, seen),
                expected,
                "{rejected}/{seen}"
            );
        }
    }
}
