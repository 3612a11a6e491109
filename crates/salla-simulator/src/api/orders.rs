//! The order endpoints.

use super::answer::Answer;
use super::paging::{self, Page};
use super::request::ClientRequest;
use super::selection::{OrderFilter, Selections, statuses};
use crate::json::{self, OrderForm, View};
use crate::scenario::AppAge;
use std::sync::Mutex;

/// `GET /orders` (docs.salla.dev/5394146e0).
pub(crate) fn list(
    request: &ClientRequest,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Answer {
    let query = &request.query;
    let filter = match OrderFilter::of(query, view) {
        Ok(filter) => filter,
        Err(refusal) => return refusal,
    };
    let selection = crate::locked(selections).select(view, &filter);
    let page = Page::of(
        query,
        15,
        view.scenario.page_cap.min(view.scenario.orders_page_cap),
    );
    let form = row_form(request, view);
    let row_bytes = if form == OrderForm::Full {
        9_000
    } else {
        2_500
    };
    let path = "/admin/v2/orders";
    let body = paging::list(
        view,
        page,
        selection.len(),
        path,
        row_bytes,
        |json, place| {
            json::order(json, view, &view.order(selection.at(place)), form);
        },
    );
    Answer::json(200, body)
}

/// Apps created after 2024-08-15 ask for `expanded` in vain (change log
/// 2.10.9).
fn row_form(request: &ClientRequest, view: View<'_>) -> OrderForm {
    let query = &request.query;
    if query.flag("expanded") && view.scenario.app_age == AppAge::Expanded {
        OrderForm::Full
    } else if query.get("format") == Some("light") {
        OrderForm::LightRow
    } else {
        OrderForm::Row
    }
}

/// `GET /orders/{id}` (docs.salla.dev/5394147e0).
pub(crate) fn details(request: &ClientRequest, view: View<'_>) -> Answer {
    let Some(index) = request.id().and_then(|id| view.book().index_of(id)) else {
        return Answer::gone();
    };
    let asked_light = request.query.get("format") == Some("light");
    let form = if asked_light || view.scenario.app_age == AppAge::LightDetails {
        OrderForm::Light
    } else {
        OrderForm::Full
    };
    let body = paging::envelope(view, |json| {
        json::order(json, view, &view.order(index), form);
    });
    Answer::json(200, body)
}

/// `GET /orders/items?order_id=`, which is not paged (docs.salla.dev/5565737e0).
pub(crate) fn items(request: &ClientRequest, view: View<'_>) -> Answer {
    let Some(id) = request.query.number("order_id") else {
        return Answer::invalid_field("order_id", "حقل رقم الطلب مطلوب");
    };
    let Some(index) = view.book().index_of(id) else {
        return Answer::gone();
    };
    let order = view.order(index);
    let body = paging::envelope(view, |json| {
        view.begin_order(json, &order.head);
        json.list(0..order.items.len(), |json, place| {
            json::item(json, view, &order, place);
        });
    });
    Answer::json(200, body)
}

/// `GET /orders/statuses`, which is not paged.
pub(crate) fn list_statuses(view: View<'_>) -> Answer {
    let body = paging::envelope(view, |json| {
        json.list(statuses(view), |json, (original, custom)| {
            json::order_status(json, view, original, custom);
        });
    });
    Answer::json(200, body)
}
