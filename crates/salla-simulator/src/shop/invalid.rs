//! Records that no reader can make sense of. Which record is broken, and how,
//! follows from the seed and the record's number, so the truth can name every
//! one of them. Everything here must be refused by any careful reader; what a
//! lenient reader can still decode is a quirk and lives elsewhere.

use super::draw::{Draw, Stream};
use serde::{Deserialize, Serialize};

/// The shares of broken records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InvalidRates {
    pub orders: f64,
    pub customers: f64,
    pub products: f64,
}

/// How a record is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidKind {
    /// `date.date` is no date. Orders only.
    DateUnparsable,
    /// `date.date` is a date on which no shop of Salla's took an order. Orders only.
    DateImplausible,
    /// An order's total or a product's price is `"abc"`.
    AmountNotANumber,
    IdMissing,
    IdNotANumber,
    IdNegative,
    /// The quantity of the first item is `"x"`. Orders only.
    QuantityNotANumber,
    /// A string stands where the record should be.
    NotAnObject,
    /// One of its items or variants is a string.
    EntryNotAnObject,
}

impl InvalidKind {
    pub const OF_ORDERS: [Self; 9] = [
        Self::DateUnparsable,
        Self::DateImplausible,
        Self::AmountNotANumber,
        Self::IdMissing,
        Self::IdNotANumber,
        Self::IdNegative,
        Self::QuantityNotANumber,
        Self::NotAnObject,
        Self::EntryNotAnObject,
    ];
    pub const OF_CUSTOMERS: [Self; 4] = [
        Self::IdMissing,
        Self::IdNotANumber,
        Self::IdNegative,
        Self::NotAnObject,
    ];
    pub const OF_PRODUCTS: [Self; 6] = [
        Self::AmountNotANumber,
        Self::IdMissing,
        Self::IdNotANumber,
        Self::IdNegative,
        Self::NotAnObject,
        Self::EntryNotAnObject,
    ];
}

impl InvalidRates {
    pub(crate) fn order(&self, seed: u64, index: u64) -> Option<InvalidKind> {
        let draw = Draw::of(seed, Stream::InvalidOrder, index);
        choose(self.orders, draw, &InvalidKind::OF_ORDERS)
    }

    pub(crate) fn customer(&self, seed: u64, index: u64) -> Option<InvalidKind> {
        let draw = Draw::of(seed, Stream::InvalidCustomer, index);
        choose(self.customers, draw, &InvalidKind::OF_CUSTOMERS)
    }

    pub(crate) fn product(&self, seed: u64, index: u64) -> Option<InvalidKind> {
        let draw = Draw::of(seed, Stream::InvalidProduct, index);
        choose(self.products, draw, &InvalidKind::OF_PRODUCTS)
    }
}

fn choose(rate: f64, mut draw: Draw, kinds: &[InvalidKind]) -> Option<InvalidKind> {
    draw.chance(rate).then(|| draw.pick(kinds))
}
