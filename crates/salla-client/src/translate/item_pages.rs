//! The line items of an order where they come on several pages. Salla documents a single
//! one; a reader who trusts that would lose the lines behind it.

use domain::order::OrderItem;
use domain::rejection::{Rejection, RejectionCode};
use importer::ports::platform::{Decoded, Pagination};
use serde_json::value::RawValue;

use super::defect::Defect;
use super::{decode, order_items};
use crate::lenient::List;

/// One page of the items of an order.
pub struct ItemPage {
    pub raw: Box<str>,
    pub pagination: Pagination,
}

impl ItemPage {
    pub fn new((raw, pagination): (&RawValue, Pagination)) -> Self {
        Self {
            raw: raw.get().into(),
            pagination,
        }
    }

    fn rows(&self) -> Option<Vec<&RawValue>> {
        match serde_json::from_str(&self.raw).ok()? {
            List::Of(rows) => Some(rows),
            List::Missing | List::Empty => Some(Vec::new()),
            List::Odd => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows().is_some_and(|rows| rows.is_empty())
    }
}

/// The items of all pages as one list, in the order of the pages. A list that holds
/// another number of items than Salla says is not the whole list.
pub fn items_of_pages(pages: &[ItemPage]) -> Decoded<Vec<OrderItem>> {
    let [only] = pages else {
        return joined(pages);
    };
    let mut decoded = read(&only.raw);
    let total = only.pagination.total;
    if let Ok(items) = &decoded.outcome
        && total > items.len() as u64
    {
        decoded.outcome = Err(incomplete());
    }
    decoded
}

fn joined(pages: &[ItemPage]) -> Decoded<Vec<OrderItem>> {
    let mut rows = Vec::new();
    for page in pages {
        match page.rows() {
            Some(of_page) => rows.extend(of_page),
            None => return read(&page.raw),
        }
    }
    let total = pages.last().map_or(0, |page| page.pagination.total);
    let texts: Vec<&str> = rows.iter().map(|row| row.get()).collect();
    let mut decoded = read(&format!("[{}]", texts.join(",")));
    if decoded.outcome.is_ok() && total != rows.len() as u64 {
        decoded.outcome = Err(incomplete());
    }
    decoded
}

fn read(text: &str) -> Decoded<Vec<OrderItem>> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => decode(raw, order_items),
        Err(_) => Decoded {
            raw: text.into(),
            outcome: Err(
                Defect::new(RejectionCode::InvalidJson, "the items are not JSON").reject(None),
            ),
        },
    }
}

fn incomplete() -> Rejection {
    let message = "Salla says that the order has another number of items than its pages hold";
    Defect::new(RejectionCode::MissingItems, message).reject(None)
}
