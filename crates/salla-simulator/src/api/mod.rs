//! The Merchant API: what each endpoint answers once a request was let in.

mod catalogue;
mod customers;
mod dates;
mod orders;
mod paging;
mod request;
mod response;
mod rows;
mod selection;

pub(crate) use paging::Page;
pub(crate) use request::{ClientRequest, Query};
pub(crate) use response::Response;
pub(crate) use rows::Rows;
pub(crate) use selection::Selections;

use crate::endpoint::Endpoint;
use crate::json::{self, Json, View};
use crate::shop::Layer;
use std::sync::Mutex;

/// The response of an endpoint of the API to an admitted request.
pub(crate) fn respond(
    request: &ClientRequest,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Response {
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
        | Endpoint::Unknown => Response::not_found(request.language),
    }
}

fn store_info(view: View<'_>) -> Response {
    paging::record(view, |json| json::store_info(json, view))
}

/// Salla's sources disagree on whether `data` wraps the response.
fn user_info(view: View<'_>) -> Response {
    if view.scenario.oauth.user_info_in_data {
        return paging::record(view, |json| json::user_info(json, view));
    }
    let mut json = Json::new(1_024, view.scenario.quirks);
    json::user_info(&mut json, view);
    Response::json(200, json.out)
}

/// What a query of one of the three great lists selects in the present shop.
pub(crate) fn rows(
    endpoint: Endpoint,
    query: &Query,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Result<Rows, Response> {
    match endpoint {
        Endpoint::Customers => customers::select(query, view),
        Endpoint::Products => catalogue::select_products(query, view, selections),
        _ => orders::select(query, view, selections),
    }
}

/// What a response depends on, as a number that changes with it: for lists and other views of many
/// records the changes of the whole shop, for a single record its own. Zero means that no record
/// was requested.
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
