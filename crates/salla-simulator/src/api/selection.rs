//! Which orders a list shows, and in what order. The plain case (a range of
//! creation dates, sorted by creation) is arithmetic; everything else looks at
//! each order once and remembers the result for the next pages.

use super::answer::Answer;
use super::dates::{self, Moments};
use super::request::Query;
use crate::json::View;
use crate::shop::{OrderBook, OrderHead, Original};
use std::collections::VecDeque;
use std::sync::Arc;

/// The questions whose results are remembered, for each shop.
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
    pub(crate) fn of(query: &Query, view: View<'_>) -> Result<Self, Answer> {
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

    /// Whether only the dates decide, so that the answer is a range.
    fn is_a_range(&self) -> bool {
        self.statuses.is_none()
            && self.customer_id.is_none()
            && self.reference_id.is_none()
            && self.keyword.is_none()
            && self.sort == Sort::CreatedAt
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
            let customer = book.shop.customer(index);
            customer.first_name.contains(word)
                || customer.last_name.contains(word)
                || customer.mobile.to_string() == word
        })
}

/// `<field>-<asc|desc>` (change log 2.9.2); newest first if nothing is said.
fn sort(query: &Query) -> Result<(Sort, bool), Answer> {
    let Some(text) = query.get("sort_by") else {
        return Ok((Sort::CreatedAt, true));
    };
    let refusal = || Answer::invalid_field("sort_by", "القيمة المحددة غير صالحة");
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

/// The selected orders in ascending order of the sort key.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    found: Found,
    descending: bool,
}

#[derive(Clone, Debug)]
enum Found {
    Range { first: u64, end: u64 },
    Picked(Arc<[u32]>),
}

impl Selection {
    pub(crate) fn len(&self) -> u64 {
        match &self.found {
            Found::Range { first, end } => end - first,
            Found::Picked(picked) => picked.len() as u64,
        }
    }

    /// The order number at a place of the list.
    pub(crate) fn at(&self, place: u64) -> u64 {
        let place = if self.descending {
            self.len() - 1 - place
        } else {
            place
        };
        match &self.found {
            Found::Range { first, .. } => first + place,
            Found::Picked(picked) => u64::from(picked[place as usize]),
        }
    }
}

/// The latest selections of one shop that were not ranges.
#[derive(Debug, Default)]
pub(crate) struct Selections {
    remembered: VecDeque<(OrderFilter, u64, Arc<[u32]>)>,
}

impl Selections {
    pub(crate) fn select(&mut self, view: View<'_>, filter: &OrderFilter) -> Selection {
        let book = view.book();
        let found = if filter.is_a_range() && book.overlay.keeps_places() {
            range(book, &filter.moments)
        } else {
            Found::Picked(self.picked(book, filter))
        };
        Selection {
            found,
            descending: filter.descending,
        }
    }

    fn picked(&mut self, book: OrderBook<'_>, filter: &OrderFilter) -> Arc<[u32]> {
        let version = book.overlay.version;
        let known = self
            .remembered
            .iter()
            .find(|(known, at, _)| known == filter && *at == version);
        if let Some((_, _, picked)) = known {
            return picked.clone();
        }
        let picked = pick(book, filter);
        self.remembered
            .push_front((filter.clone(), version, picked.clone()));
        self.remembered.truncate(REMEMBERED);
        picked
    }
}

fn range(book: OrderBook<'_>, moments: &Moments) -> Found {
    let calendar = &book.shop.calendar;
    let position = |moment: i64| match moment {
        i64::MIN => 0,
        i64::MAX => calendar.orders(),
        moment => calendar.first_at_or_after(moment),
    };
    let (first, end) = (position(moments.start), position(moments.end));
    Found::Range { first, end }
}

fn pick(book: OrderBook<'_>, filter: &OrderFilter) -> Arc<[u32]> {
    if let Some(reference_id) = filter.reference_id {
        let found = book.index_of_reference(reference_id).filter(|index| {
            let head = book.head(*index);
            filter.moments.contains(&head.created_at) && filter.admits(book, &head)
        });
        return found.map(|index| index as u32).into_iter().collect();
    }
    let mut keyed: Vec<(i64, u32)> = candidates(book, &filter.moments)
        .filter(|index| book.is_listed(*index))
        .map(|index| book.head(index))
        .filter(|head| filter.moments.contains(&head.created_at) && filter.admits(book, head))
        .map(|head| (sort_key(book, &head, filter.sort), head.index as u32))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, index)| index).collect()
}

fn candidates(book: OrderBook<'_>, moments: &Moments) -> impl Iterator<Item = u64> {
    let own = match range(book, moments) {
        Found::Range { first, end } => first..end,
        Found::Picked(_) => 0..0,
    };
    own.chain(book.shop.spec.orders..book.numbers())
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
