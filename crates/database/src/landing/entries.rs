//! Lists inside a record, as separate rows. An entry is identified by its position in the list: two
//! entries with the same id are two entries.

use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::order::{Order, OrderDiscount, OrderItem, OrderStatus};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::columns::{OptionalText, optional};
use crate::error::TxError;
use crate::transaction::LockedRun;

/// All entries of the lists, each with its parent and its place, from 1.
pub(crate) fn place_all<'a, T>(
    lists: impl IntoIterator<Item = (i64, &'a [T])>,
) -> Vec<(i64, i32, &'a T)> {
    let mut placed = Vec::new();
    for (parent, entries) in lists {
        let entries = (1..).zip(entries);
        placed.extend(entries.map(|(place, entry)| (parent, place, entry)));
    }
    placed
}

/// Removes rows of `$table` that lie behind the last entry of their parent `$parent`.
macro_rules! remove_behind_in {
    ($table:literal, $parent:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " t USING unnest($2::bigint[], $3::integer[]) AS r(parent, entries)
             WHERE t.merchant_id = $1 AND t.",
            $parent,
            " = r.parent AND t.position > r.entries"
        )
    };
}
pub(crate) use remove_behind_in;

/// Runs a statement of [`remove_behind_in!`] for parents with that many entries each.
pub(crate) async fn remove_behind(
    tx: &mut PgConnection,
    run: &LockedRun,
    sql: &'static str,
    counts: impl Iterator<Item = (i64, usize)>,
) -> Result<(), TxError> {
    let counts = counts.map(|(parent, entries)| (parent, count(entries)));
    let (parents, entries): (Vec<i64>, Vec<i32>) = counts.unzip();
    if parents.is_empty() {
        return Ok(());
    }
    sqlx::query(sql)
        .bind(run.merchant.0)
        .bind(parents)
        .bind(entries)
        .execute(tx)
        .await?;
    Ok(())
}

/// The number of entries as a column holds it.
pub(crate) fn count(entries: usize) -> i32 {
    i32::try_from(entries).unwrap_or(i32::MAX)
}

/// An order with its items, wherever they came from.
#[derive(Clone, Copy)]
pub(crate) struct WholeOrder<'a> {
    pub(crate) order: &'a Order,
    pub(crate) items: Option<&'a [OrderItem]>,
}

impl<'a> WholeOrder<'a> {
    pub(crate) fn discounts(&self) -> &'a [OrderDiscount] {
        let amounts = self.order.amounts.as_ref();
        amounts.map_or(&[], |amounts| &amounts.discounts)
    }
}

/// Salla names the currency beside each amount; the order's own comes first.
pub(crate) fn currency(order: &Order) -> OptionalText<'_> {
    let of_total = || order.total.as_ref().and_then(|m| optional(&m.currency));
    optional(&order.currency).or_else(of_total)
}

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
