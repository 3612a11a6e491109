//! The customer endpoints (docs.salla.dev/5394121e0, /5394122e0).

use super::answer::Answer;
use super::dates::{self, ALL_TIME, Moments};
use super::paging::{self, Page};
use super::request::ClientRequest;
use crate::json::{self, View};
use crate::shop::Customer;

/// `GET /customers`, newest first. Salla's page describes `date_from` and
/// `date_to` the wrong way round; integrators use them as named.
pub(crate) fn list(request: &ClientRequest, view: View<'_>) -> Answer {
    let query = &request.query;
    let filter = view.scenario.date_filter;
    let moments = match dates::moments(query, "date_from", "date_to", filter) {
        Ok(moments) => moments,
        Err(refusal) => return refusal,
    };
    let found = select(view, &moments, query.get("keyword"));
    let page = Page::of(query, 15, view.scenario.page_cap);
    let total = found.len();
    let body = paging::list(
        view,
        page,
        total,
        "/admin/v2/customers",
        1_200,
        |json, place| {
            let customer = view.shop.customer(found.at(total - 1 - place));
            json::customer(json, view, &customer, false);
        },
    );
    Answer::json(200, body)
}

/// `GET /customers/{id}`.
pub(crate) fn details(request: &ClientRequest, view: View<'_>) -> Answer {
    match request.id().and_then(|id| view.shop.customer_index(id)) {
        Some(index) => Answer::json(
            200,
            paging::envelope(view, |json| {
                json::customer(json, view, &view.shop.customer(index), true);
            }),
        ),
        None => Answer::not_found(request.language),
    }
}

/// Customer numbers, ascending: a range, or those that a word was found in.
enum Found {
    Range { first: u64, end: u64 },
    Picked(Vec<u64>),
}

impl Found {
    fn len(&self) -> u64 {
        match self {
            Self::Range { first, end } => end - first,
            Self::Picked(picked) => picked.len() as u64,
        }
    }

    fn at(&self, place: u64) -> u64 {
        match self {
            Self::Range { first, .. } => first + place,
            Self::Picked(picked) => picked[place as usize],
        }
    }
}

fn select(view: View<'_>, moments: &Moments, keyword: Option<&str>) -> Found {
    let shop = view.shop;
    let position = |moment: i64| {
        if moment == ALL_TIME.start {
            0
        } else if moment == ALL_TIME.end {
            shop.customer_count()
        } else {
            shop.customers_before(moment)
        }
    };
    let (first, end) = (position(moments.start), position(moments.end));
    match keyword {
        None => Found::Range { first, end },
        Some(word) => Found::Picked(
            (first..end)
                .filter(|index| mentions(&shop.customer(*index), word))
                .collect(),
        ),
    }
}

fn mentions(customer: &Customer, word: &str) -> bool {
    customer.first_name.contains(word)
        || customer.last_name.contains(word)
        || customer.email().contains(word)
        || customer.mobile.to_string() == word
}
