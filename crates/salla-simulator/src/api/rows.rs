//! The rows of a list that was asked for: numbers of records, found by place.

use super::paging::Page;
use super::request::{ClientRequest, Query};
use super::selection::{OrderFilter, Selections};
use super::{Answer, Endpoint, catalogue, customers};
use crate::json::View;
use crate::scenario::Scenario;
use crate::shop::{Layer, Merged, Spot};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// The numbers of the records in a list, the list's own order applied.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    base: Base,
    merged: Merged,
    descending: bool,
}

/// The ascending list that the changes of the shop were merged into.
#[derive(Clone, Debug)]
enum Base {
    From(u64),
    Picked(Picked),
}

/// Record numbers with their sort keys, ascending.
pub(crate) type Picked = Arc<[(i64, u32)]>;

impl Default for Rows {
    fn default() -> Self {
        Self::range(0, Merged::default(), false)
    }
}

impl Rows {
    /// The shop's own records from `first` on, and the changes to them.
    pub(crate) fn range(first: u64, merged: Merged, descending: bool) -> Self {
        Self {
            base: Base::From(first),
            merged,
            descending,
        }
    }

    pub(crate) fn picked(picked: Picked, merged: Merged, descending: bool) -> Self {
        Self {
            base: Base::Picked(picked),
            merged,
            descending,
        }
    }

    /// The numbers that were found, and nothing to merge into them.
    pub(crate) fn found(numbers: impl Iterator<Item = u64>, descending: bool) -> Self {
        let picked: Picked = numbers.map(|index| (0, index as u32)).collect();
        let merged = Merged::new(picked.len() as u64, [], []);
        Self::picked(picked, merged, descending)
    }

    pub(crate) fn len(&self) -> u64 {
        self.merged.len()
    }

    /// The record number at a place of the list.
    pub(crate) fn at(&self, place: u64) -> u64 {
        let place = if self.descending {
            self.len() - 1 - place
        } else {
            place
        };
        match (self.merged.at(place), &self.base) {
            (Spot::Added(index), _) => index,
            (Spot::Base(place), Base::From(first)) => first + place,
            (Spot::Base(place), Base::Picked(picked)) => u64::from(picked[place as usize].1),
        }
    }

    pub(crate) fn all(&self, places: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        places.map(|place| self.at(place))
    }
}

/// What a query of one of the three great lists selects in the present shop.
pub(crate) fn rows(
    endpoint: Endpoint,
    query: &Query,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Result<Rows, Answer> {
    match endpoint {
        Endpoint::Customers => customers::select(query, view),
        Endpoint::Products => catalogue::select_products(query, view, selections),
        _ => {
            let filter = OrderFilter::of(query, view)?;
            Ok(crate::locked(selections).select(view, &filter))
        }
    }
}

/// The page of one of these lists that was asked for.
pub(crate) fn page(endpoint: Endpoint, query: &Query, scenario: &Scenario) -> Page {
    let cap = scenario.page_cap;
    match endpoint {
        Endpoint::Products => Page::of(query, 20, cap),
        Endpoint::Customers => Page::of(query, 15, cap),
        _ => Page::of(query, 15, cap.min(scenario.orders_page_cap)),
    }
}

/// What an answer depends on, as a number that changes when it does: for lists
/// and whatever else shows many records the changes of the whole shop, for a
/// single record its own. Zero means that no record was asked for.
pub(crate) fn state(request: &ClientRequest, view: View<'_>) -> u32 {
    let overlay = view.overlay;
    let of_record =
        |layer: &Layer, index: Option<u64>| index.map_or(0, |index| layer.revision(index) + 1);
    let id = request.id();
    match request.endpoint() {
        Endpoint::Orders | Endpoint::Customers | Endpoint::Products => {
            let layers = [&overlay.orders, &overlay.customers, &overlay.products];
            layers
                .iter()
                .map(|layer| layer.version() as u32)
                .sum::<u32>()
                + 1
        }
        Endpoint::Order => {
            let index = id.and_then(|id| view.book().index_of(id));
            of_record(&overlay.orders, index)
        }
        Endpoint::OrderItems => {
            let id = request.query.number("order_id");
            let index = id.and_then(|id| view.book().index_of(id));
            of_record(&overlay.orders, index)
        }
        Endpoint::Customer => {
            let index = id.and_then(|id| view.customers().index_of(id));
            of_record(&overlay.customers, index)
        }
        Endpoint::Product | Endpoint::ProductVariants => {
            let index = id.and_then(|id| view.products().index_of(id));
            of_record(&overlay.products, index)
        }
        _ => 0,
    }
}
