//! The Merchant API: what each endpoint answers once a request was let in.

mod answer;
mod catalogue;
mod customers;
mod dates;
mod endpoint;
mod orders;
mod paging;
mod request;
mod rows;
mod selection;

pub(crate) use answer::Answer;
pub use endpoint::Endpoint;
pub(crate) use paging::Page;
pub(crate) use request::{ClientRequest, Query};
pub(crate) use rows::{Rows, page, rows, state};
pub(crate) use selection::Selections;

use crate::json::{self, Json, View};
use std::sync::Mutex;

/// The answer of an endpoint of the API to an admitted request.
pub(crate) fn answer(
    request: &ClientRequest,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Answer {
    match request.endpoint() {
        Endpoint::StoreInfo => store_info(view),
        Endpoint::Orders => orders::list(request, view, selections),
        Endpoint::Order => orders::details(request, view),
        Endpoint::OrderItems => orders::items(request, view),
        Endpoint::OrderStatuses => orders::list_statuses(view),
        Endpoint::Customers => customers::list(request, view),
        Endpoint::Customer => customers::details(request, view),
        Endpoint::Products => catalogue::list_products(request, view, selections),
        Endpoint::Product => catalogue::product_details(request, view),
        Endpoint::ProductVariants => catalogue::list_variants(request, view),
        Endpoint::Categories => catalogue::list_categories(request, view),
        Endpoint::UserInfo => user_info(view),
        Endpoint::OauthAuth
        | Endpoint::OauthToken
        | Endpoint::Introspect
        | Endpoint::Dashboard
        | Endpoint::Unknown => Answer::not_found(request.language),
    }
}

fn store_info(view: View<'_>) -> Answer {
    Answer::json(
        200,
        paging::envelope(view, |json| json::store_info(json, view)),
    )
}

/// Salla's sources disagree on whether `data` wraps the answer.
fn user_info(view: View<'_>) -> Answer {
    if view.scenario.oauth.user_info_in_data {
        return Answer::json(
            200,
            paging::envelope(view, |json| json::user_info(json, view)),
        );
    }
    let mut json = Json::new(1_024, view.scenario.quirks);
    json::user_info(&mut json, view);
    Answer::json(200, json.out)
}
