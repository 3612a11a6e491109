//! Which orders and products a list shows, and in what order. The plain case (a range of creation
//! dates, sorted by creation) is arithmetic; everything else reads each record once and caches the
//! result for the next pages.

use super::dates::{self, Moments};
use super::request::Query;
use super::response::Response;
use super::rows::{Picked, Rows};
use crate::json::View;
use crate::scenario::ProductFilters;
use crate::shop::{Merged, OrderBook, OrderHead, Original, Overlay, Product};
use std::collections::VecDeque;
use std::sync::Arc;

/// The queries whose results are cached, for each shop.
const REMEMBERED: usize = 4;

/// What was asked of the order list, apart from the page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OrderFilter {
    moments: Moments,
    statuses: Option<Vec<i64>>,
    customer_id: Option<i64>,
    reference_id: Option<i64>,
    keyword: Option<String>,
    sort: Sort,
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    CreatedAt,
    Id,
    Total,
    UpdatedAt,
}

impl OrderFilter {
    pub(crate) fn of(query: &Query, view: View<'_>) -> Result<Self, Response> {
        let statuses = query.all("status");
        let (sort, descending) = sort(query)?;
        Ok(Self {
            moments: dates::moments(query, "from_date", "to_date", view.scenario.date_filter)?,
            statuses: (!statuses.is_empty())
                .then(|| statuses.iter().filter_map(|id| id.parse().ok()).collect()),
            customer_id: query.number("customer_id"),
            reference_id: query.number("reference_id"),
            keyword: query.get("keyword").map(str::to_owned),
            sort,
            descending,
        })
    }

    /// Whether only the dates decide, so that the response is a range.
    fn is_a_range(&self) -> bool {
        self.statuses.is_none()
            && self.customer_id.is_none()
            && self.reference_id.is_none()
            && self.keyword.is_none()
            && self.sort == Sort::CreatedAt
    }

    /// Where an order stands in the list, unless it does not belong to it.
    fn key(&self, book: OrderBook<'_>, index: u64) -> Option<i64> {
        let head = book.head(index);
        let admitted = self.moments.contains(&head.created_at) && self.admits(book, &head);
        admitted.then(|| sort_key(book, &head, self.sort))
    }

    fn admits(&self, book: OrderBook<'_>, head: &OrderHead) -> bool {
        let shop = book.shop;
        let status_fits = self.statuses.as_ref().is_none_or(|wanted| {
            let custom = head
                .custom_status
                .map(|place| shop.ids.custom_status.id(place as u64));
            wanted.contains(&head.status.id()) || custom.is_some_and(|id| wanted.contains(&id))
        });
        let customer_fits = self.customer_id.is_none_or(|wanted| {
            head.customer
                .is_some_and(|index| shop.ids.customer.id(index) == wanted)
        });
        status_fits
            && customer_fits
            && self
                .reference_id
                .is_none_or(|wanted| wanted == head.reference_id)
            && self
                .keyword
                .as_ref()
                .is_none_or(|word| mentions(book, head, word))
    }
}

/// A minimal search: the order's number, or its customer's name or mobile.
fn mentions(book: OrderBook<'_>, head: &OrderHead, word: &str) -> bool {
    head.reference_id.to_string() == word
        || head.customer.is_some_and(|index| {
            let customer = book.shop.customer(index, None);
            customer.first_name.contains(word)
                || customer.last_name.contains(word)
                || customer.mobile.to_string() == word
        })
}

/// `<field>-<asc|desc>` (change log 2.9.2); newest first if nothing is said.
fn sort(query: &Query) -> Result<(Sort, bool), Response> {
    let Some(text) = query.get("sort_by") else {
        return Ok((Sort::CreatedAt, true));
    };
    let refusal = || Response::invalid_field("sort_by", "القيمة المحددة غير صالحة");
    let (field, direction) = text.rsplit_once('-').ok_or_else(refusal)?;
    let sort = match field {
        "created_at" => Sort::CreatedAt,
        "id" => Sort::Id,
        "total" => Sort::Total,
        "updated_at" => Sort::UpdatedAt,
        _ => return Err(refusal()),
    };
    match direction {
        "asc" => Ok((sort, false)),
        "desc" => Ok((sort, true)),
        _ => Err(refusal()),
    }
}

/// What a product must be like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProductFilter {
    status: Option<String>,
    keyword: Option<String>,
    /// `Some(None)`: one that the shop does not have.
    category: Option<Option<u64>>,
}

impl ProductFilter {
    /// Nothing if all fit.
    pub(crate) fn of(query: &Query, view: View<'_>) -> Option<Self> {
        let index = |id: &str| view.shop.ids.category.index(id.parse().ok()?);
        let filter = Self {
            status: query.get("status").map(str::to_owned),
            keyword: query.get("keyword").map(str::to_owned),
            category: query.get("category").map(index),
        };
        let filter = match view.scenario.product_filters {
            ProductFilters::Honoured => filter,
            ProductFilters::Ignored => Self {
                status: None,
                category: None,
                ..filter
            },
        };
        let any = filter.status.is_some() || filter.keyword.is_some() || filter.category.is_some();
        any.then_some(filter)
    }

    pub(crate) fn admits(&self, product: &Product) -> bool {
        let status = self.status.as_deref();
        let keyword = self.keyword.as_deref();
        status.is_none_or(|status| product.status == status)
            && keyword.is_none_or(|word| product.name.to_string().contains(word))
            && self.category.is_none_or(|category| {
                category.is_some_and(|index| product.categories.contains(&index))
            })
    }
}

/// The latest selections of one shop that were not ranges, as they would be if
/// nothing had changed since the shop was made. What did change is merged in
/// for each page, so that a busy shop is not looked through again and again.
#[derive(Debug, Default)]
pub(crate) struct Selections {
    remembered: VecDeque<(OrderFilter, Picked)>,
    /// Of products with what their layer's version was.
    products: VecDeque<(ProductFilter, u64, Arc<[u64]>)>,
}

impl Selections {
    pub(crate) fn select(&mut self, view: View<'_>, filter: &OrderFilter) -> Rows {
        let book = view.book();
        if filter.is_a_range() {
            let own = book.own(&filter.moments);
            let merged = book.layer.merged(own.clone(), filter.moments.clone());
            return Rows::range(own.start, merged, filter.descending);
        }
        if let Some(reference_id) = filter.reference_id {
            let found = book.index_of_reference(reference_id);
            let found = found.filter(|index| filter.key(book, *index).is_some());
            return Rows::found(found.into_iter(), filter.descending);
        }
        let picked = self.picked(view, filter);
        let merged = changes(view, filter, &picked);
        Rows::picked(picked, merged, filter.descending)
    }

    /// The products that a filter admits, looked for again once something has changed.
    pub(crate) fn products(
        &mut self,
        filter: &ProductFilter,
        version: u64,
        find: impl FnOnce() -> Vec<u64>,
    ) -> Arc<[u64]> {
        let mut remembered = self.products.iter();
        if let Some((.., found)) = remembered.find(|(f, v, _)| f == filter && *v == version) {
            return found.clone();
        }
        let found: Arc<[u64]> = find().into();
        let remembered = (filter.clone(), version, found.clone());
        self.products.push_front(remembered);
        self.products.truncate(REMEMBERED);
        found
    }

    fn picked(&mut self, view: View<'_>, filter: &OrderFilter) -> Picked {
        let known = self.remembered.iter().find(|(known, _)| known == filter);
        if let Some((_, picked)) = known {
            return picked.clone();
        }
        let unchanged = Overlay::new(view.shop);
        let book = as_made(view, &unchanged);
        let mut keyed: Vec<(i64, u32)> = book
            .own(&filter.moments)
            .filter_map(|index| Some((filter.key(book, index)?, index as u32)))
            .collect();
        keyed.sort_unstable();
        let picked = Picked::from(keyed);
        self.remembered.push_front((filter.clone(), picked.clone()));
        self.remembered.truncate(REMEMBERED);
        picked
    }
}

fn as_made<'a>(view: View<'a>, unchanged: &'a Overlay) -> OrderBook<'a> {
    OrderBook {
        shop: view.shop,
        layer: &unchanged.orders,
    }
}

/// Every changed order leaves the place that it had and takes the one that it
/// has now, if it has any.
fn changes(view: View<'_>, filter: &OrderFilter, picked: &Picked) -> Merged {
    let unchanged = Overlay::new(view.shop);
    let (before, now) = (as_made(view, &unchanged), view.book());
    let mut removed: Vec<u64> = now
        .layer
        .changed_own()
        .filter_map(|index| {
            let entry = (filter.key(before, index)?, index as u32);
            picked.binary_search(&entry).ok().map(|place| place as u64)
        })
        .collect();
    removed.sort_unstable();
    let mut added: Vec<(i64, u32)> = now
        .layer
        .changed_listed()
        .filter_map(|index| Some((filter.key(now, index)?, index as u32)))
        .collect();
    added.sort_unstable();
    let before = |entry: &(i64, u32)| picked.partition_point(|other| other < entry) as u64;
    let added = added
        .iter()
        .map(|entry| (before(entry), u64::from(entry.1)));
    Merged::new(picked.len() as u64, removed, added)
}

fn sort_key(book: OrderBook<'_>, head: &OrderHead, sort: Sort) -> i64 {
    match sort {
        Sort::CreatedAt => head.created_at,
        Sort::Id => head.id,
        Sort::Total => book.order(head.index).total.0,
        Sort::UpdatedAt => head.updated_at,
    }
}

/// All statuses that `/orders/statuses` lists: the fixed ones, then the shop's.
pub(crate) fn statuses(view: View<'_>) -> impl Iterator<Item = (Original, Option<usize>)> {
    let own = view.shop.spec.custom_statuses.iter().enumerate();
    Original::ALL
        .into_iter()
        .map(|original| (original, None))
        .chain(own.map(|(place, custom)| (custom.original, Some(place))))
}
