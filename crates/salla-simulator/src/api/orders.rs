//! The order endpoints.

use super::paging::{self, List, Page};
use super::request::{ClientRequest, Query};
use super::response::Response;
use super::rows::Rows;
use super::selection::{OrderFilter, Selections, statuses};
use crate::endpoint::Endpoint;
use crate::json::{self, OrderForm, View};
use crate::scenario::{AppAge, ListBehavior};
use crate::shop::Order;
use std::sync::Mutex;

/// `GET /orders` (docs.salla.dev/5394146e0).
pub(crate) fn list(
    request: &ClientRequest,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Response {
    let query = &request.query;
    let found = match select(query, view, selections) {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let form = row_form(request, view);
    let list = List {
        page: Page::of_list(Endpoint::Orders, query, view.scenario),
        total: found.len(),
        path: "/admin/v2/orders",
        row_bytes: match form {
            OrderForm::Full => 9_000,
            _ => 2_500,
        },
        behavior: view.scenario.lists.orders,
    };
    paging::list(view, &list, |json, place| {
        json::order(json, view, &view.order(found.at(place)), form);
    })
}

pub(crate) fn select(
    query: &Query,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Result<Rows, Response> {
    let filter = OrderFilter::of(query, view)?;
    Ok(crate::locked(selections).select(view, &filter))
}

/// Apps created after 2024-08-15 ask for `expanded` in vain (change log
/// 2.10.9), and any app may lose it while it imports.
fn row_form(request: &ClientRequest, view: View<'_>) -> OrderForm {
    let query = &request.query;
    let loss = view.scenario.item_loss;
    let expanded = view.scenario.app_age == AppAge::Expanded
        && !is_past(loss.expanded_ignored_after, view.served);
    if query.flag("expanded") && expanded {
        if is_past(loss.rows_without_items_after, view.served) {
            OrderForm::FullWithoutItems
        } else {
            OrderForm::Full
        }
    } else if query.get("format") == Some("light") {
        OrderForm::LightRow
    } else {
        OrderForm::Row
    }
}

fn is_past(after: Option<u64>, served: u64) -> bool {
    after.is_some_and(|requests| served >= requests)
}

/// `GET /orders/{id}` (docs.salla.dev/5394147e0).
pub(crate) fn details(request: &ClientRequest, view: View<'_>) -> Response {
    let Some(index) = request.id().and_then(|id| view.book().index_of(id)) else {
        return Response::gone();
    };
    let wants_light = request.query.get("format") == Some("light");
    let lost = is_past(view.scenario.item_loss.details_after, view.served);
    let form = if wants_light || lost || view.scenario.app_age == AppAge::LightDetails {
        OrderForm::Light
    } else {
        OrderForm::Full
    };
    paging::record(view, |json| {
        json::order(json, view, &view.order(index), form);
    })
}

/// `GET /orders/items?order_id=`, which the documentation does not page
/// (docs.salla.dev/5565737e0).
pub(crate) fn items(request: &ClientRequest, view: View<'_>) -> Response {
    let Some(id) = request.query.number("order_id") else {
        return Response::invalid_field("order_id", "حقل رقم الطلب مطلوب");
    };
    let Some(index) = view.book().index_of(id) else {
        return Response::gone();
    };
    let order = view.order(index);
    if let Some(most) = view.scenario.items_page_cap {
        return page_of_items(request, view, &order, most);
    }
    paging::record(view, |json| {
        view.begin_order(json, &order.head);
        json.list(0..order.items.len(), |json, place| {
            json::item(json, view, &order, place);
        });
    })
}

fn page_of_items(request: &ClientRequest, view: View<'_>, order: &Order, most: u64) -> Response {
    let list = List {
        page: Page::of(&request.query, most, most),
        total: order.items.len() as u64,
        path: "/admin/v2/orders/items",
        row_bytes: 2_000,
        behavior: ListBehavior::default(),
    };
    paging::list(view, &list, |json, place| {
        view.begin_order(json, &order.head);
        json::item(json, view, order, place as usize);
    })
}

/// `GET /orders/statuses`, which is not paged.
pub(crate) fn list_statuses(view: View<'_>) -> Response {
    paging::record(view, |json| {
        json.list(statuses(view), |json, (original, custom)| {
            json::order_status(json, view, original, custom);
        });
    })
}
