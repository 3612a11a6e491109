//! The product and category endpoints (docs.salla.dev/5394168e0, /5394169e0).

use super::dates::ALL_TIME;
use super::paging::{self, List, Page};
use super::request::{ClientRequest, Query};
use super::response::Response;
use super::rows::Rows;
use super::selection::{ProductFilter, Selections};
use crate::endpoint::Endpoint;
use crate::json::{self, View};
use crate::scenario::ListBehavior;
use crate::shop::Product;
use std::sync::Mutex;

/// `GET /products`, newest first. There is no date filter and no sorting; one
/// integrator got 422 for asking, and for keywords that are only digits.
pub(crate) fn list_products(
    request: &ClientRequest,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Response {
    let query = &request.query;
    let found = match select_products(query, view, selections) {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let light = query.get("format") == Some("light");
    let list = List {
        page: Page::of_list(Endpoint::Products, query, view.scenario),
        total: found.len(),
        path: "/admin/v2/products",
        row_bytes: 6_000,
        behavior: view.scenario.lists.products,
    };
    paging::list(view, &list, |json, place| {
        let product = view.products().product(found.at(place));
        if light {
            json::product_light(json, view, &product);
        } else {
            json::product(json, view, &product);
        }
    })
}

pub(crate) fn select_products(
    query: &Query,
    view: View<'_>,
    selections: &Mutex<Selections>,
) -> Result<Rows, Response> {
    if let Some(refusal) = refusal(query) {
        return Err(refusal);
    }
    let book = view.products();
    let own = view.shop.spec.products;
    let rows = Rows::range(0, book.layer.merged(0..own, ALL_TIME), true);
    let Some(filter) = ProductFilter::of(query, view) else {
        return Ok(rows);
    };
    let find = || {
        let fits = |index: &u64| filter.admits(&book.product(*index));
        rows.all(0..rows.len()).filter(fits).collect()
    };
    let found = crate::locked(selections).products(&filter, book.layer.version(), find);
    Ok(Rows::found(found.iter().copied(), false))
}

fn refusal(query: &Query) -> Option<Response> {
    if query.get("sort_by").is_some() {
        return Some(Response::invalid_field(
            "sort_by",
            "القيمة المحددة غير صالحة",
        ));
    }
    let keyword = query.get("keyword")?;
    keyword
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| Response::invalid_field("keyword", "القيمة المحددة غير صالحة"))
}

/// `GET /products/{id}`.
pub(crate) fn product_details(request: &ClientRequest, view: View<'_>) -> Response {
    match requested_product(request, view) {
        Some(product) => paging::record(view, |json| json::product(json, view, &product)),
        None => Response::not_found(request.language),
    }
}

/// `GET /products/{id}/variants`; the sample's page size is 60.
pub(crate) fn list_variants(request: &ClientRequest, view: View<'_>) -> Response {
    let Some(product) = requested_product(request, view) else {
        return Response::not_found(request.language);
    };
    let path = format!("/admin/v2/products/{}/variants", product.id);
    let list = List {
        page: Page::of(&request.query, 60, view.scenario.page_cap),
        total: product.variant_count(),
        path: &path,
        row_bytes: 900,
        behavior: ListBehavior::default(),
    };
    paging::list(view, &list, |json, place| {
        json::variant(json, view, &product, &product.variant(place));
    })
}

fn requested_product(request: &ClientRequest, view: View<'_>) -> Option<Product> {
    let book = view.products();
    Some(book.product(book.index_of(request.id()?)?))
}

/// `GET /categories`: the top categories, each with those below it.
pub(crate) fn list_categories(request: &ClientRequest, view: View<'_>) -> Response {
    let shop = view.shop;
    let below: Vec<_> = (shop.top_category_count()..shop.category_count())
        .map(|index| shop.category(index))
        .collect();
    let list = List {
        page: Page::of(&request.query, 20, view.scenario.page_cap),
        total: shop.top_category_count(),
        path: "/admin/v2/categories",
        row_bytes: 1_200,
        behavior: ListBehavior::default(),
    };
    paging::list(view, &list, |json, place| {
        let children: Vec<_> = below
            .iter()
            .filter(|child| child.parent == Some(place))
            .cloned()
            .collect();
        json::category(json, view, &shop.category(place), &children);
    })
}
