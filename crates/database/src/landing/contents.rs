//! What a record holds, counted as Salla sent it and before anything is written: the
//! certificate compares it with the rows.

use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::order::{Order, OrderStatus};
use rust_decimal::Decimal;

use crate::landing::entries::count;
use crate::landing::order_columns::currency;
use crate::landing::orders::WholeOrder;
use crate::text::OptionalText;

#[derive(Default)]
pub(crate) struct Contents<'a> {
    /// Line items or variants.
    pub(crate) lines: Option<i32>,
    /// Discounts or categories.
    pub(crate) other_entries: Option<i32>,
    pub(crate) total: Option<Decimal>,
    pub(crate) currency: OptionalText<'a>,
}

/// A record as far as it holds something to count.
pub(crate) trait Holds {
    fn contents(&self) -> Contents<'_> {
        Contents::default()
    }
}

impl<T: Holds> Holds for &T {
    fn contents(&self) -> Contents<'_> {
        (*self).contents()
    }
}

impl Holds for Customer {}
impl Holds for Category {}
impl Holds for OrderStatus {}

/// As a list gives it, without its lines.
impl Holds for Order {
    fn contents(&self) -> Contents<'_> {
        Contents {
            total: self.total.as_ref().map(|money| money.amount),
            currency: currency(self),
            ..Contents::default()
        }
    }
}

impl Holds for WholeOrder<'_> {
    fn contents(&self) -> Contents<'_> {
        Contents {
            lines: self.items.map(|items| count(items.len())),
            other_entries: Some(count(self.discounts().len())),
            ..self.order.contents()
        }
    }
}

impl Holds for Product {
    fn contents(&self) -> Contents<'_> {
        Contents {
            lines: Some(count(self.variants.len())),
            other_entries: Some(count(self.category_ids.len())),
            ..Contents::default()
        }
    }
}
