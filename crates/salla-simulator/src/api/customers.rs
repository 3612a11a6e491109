//! The customer endpoints (docs.salla.dev/5394121e0, /5394122e0).

use super::dates::{self, ALL_TIME};
use super::paging::{self, List, Page};
use super::request::{ClientRequest, Query};
use super::response::Response;
use super::rows::Rows;
use crate::endpoint::Endpoint;
use crate::json::{self, View};
use crate::scenario::CustomerDates;
use crate::shop::Customer;

/// `GET /customers`, newest first.
pub(crate) fn list(request: &ClientRequest, view: View<'_>) -> Response {
    let found = match select(&request.query, view) {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let list = List {
        page: Page::of_list(Endpoint::Customers, &request.query, view.scenario),
        total: found.len(),
        path: "/admin/v2/customers",
        row_bytes: 1_200,
        behavior: view.scenario.lists.customers,
    };
    paging::list(view, &list, |json, place| {
        let customer = view.customers().customer(found.at(place));
        json::customer(json, view, &customer, false);
    })
}

/// `GET /customers/{id}`.
pub(crate) fn details(request: &ClientRequest, view: View<'_>) -> Response {
    let book = view.customers();
    match request.id().and_then(|id| book.index_of(id)) {
        Some(index) => paging::record(view, |json| {
            json::customer(json, view, &book.customer(index), true);
        }),
        None => Response::not_found(request.language),
    }
}

/// Salla's page describes `date_from` and `date_to` the wrong way round;
/// integrators use them as named.
pub(crate) fn select(query: &Query, view: View<'_>) -> Result<Rows, Response> {
    let filter = view.scenario.date_filter;
    let moments = match view.scenario.customer_dates {
        CustomerDates::AsNamed => dates::moments(query, "date_from", "date_to", filter)?,
        CustomerDates::Swapped => dates::moments(query, "date_to", "date_from", filter)?,
        CustomerDates::Ignored => ALL_TIME,
    };
    let book = view.customers();
    let own = book.own(&moments);
    let rows = Rows::range(own.start, book.layer.merged(own.clone(), moments), true);
    Ok(match query.get("keyword") {
        None => rows,
        Some(word) => {
            let fits = |index: &u64| mentions(&book.customer(*index), word);
            let found: Vec<u64> = rows.all(0..rows.len()).filter(fits).collect();
            Rows::found(found.into_iter(), false)
        }
    })
}

fn mentions(customer: &Customer, word: &str) -> bool {
    customer.first_name.contains(word)
        || customer.last_name.contains(word)
        || customer.email().contains(word)
        || customer.mobile.to_string() == word
}
