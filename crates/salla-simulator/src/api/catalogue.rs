//! The product and category endpoints (docs.salla.dev/5394168e0, /5394169e0).

use super::answer::Answer;
use super::paging::{self, Page};
use super::request::{ClientRequest, Query};
use crate::json::{self, View};
use crate::shop::Product;

/// `GET /products`, newest first. There is no date filter and no sorting; one
/// integrator got 422 for asking, and for keywords that are only digits.
pub(crate) fn list_products(request: &ClientRequest, view: View<'_>) -> Answer {
    let query = &request.query;
    if let Some(refusal) = refusal(query) {
        return refusal;
    }
    let picked = pick(query, view);
    let total = picked
        .as_ref()
        .map_or(view.shop.product_count(), |picked| picked.len() as u64);
    let light = query.get("format") == Some("light");
    let page = Page::of(query, 20, view.scenario.page_cap);
    let body = paging::list(
        view,
        page,
        total,
        "/admin/v2/products",
        6_000,
        |json, place| {
            let place = total - 1 - place;
            let index = picked
                .as_ref()
                .map_or(place, |picked| picked[place as usize]);
            let product = view.shop.product(index);
            if light {
                json::product_light(json, view, &product);
            } else {
                json::product(json, view, &product);
            }
        },
    );
    Answer::json(200, body)
}

fn refusal(query: &Query) -> Option<Answer> {
    if query.get("sort_by").is_some() {
        return Some(Answer::invalid_field("sort_by", "القيمة المحددة غير صالحة"));
    }
    let keyword = query.get("keyword")?;
    keyword
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| Answer::invalid_field("keyword", "القيمة المحددة غير صالحة"))
}

/// The numbers of the products that fit, or nothing if all do.
fn pick(query: &Query, view: View<'_>) -> Option<Vec<u64>> {
    let (status, keyword) = (query.get("status"), query.get("keyword"));
    let category = query.get("category").map(|id| {
        id.parse()
            .ok()
            .and_then(|id| view.shop.ids.category.index(id))
    });
    if status.is_none() && keyword.is_none() && category.is_none() {
        return None;
    }
    let fits = |product: &Product| {
        status.is_none_or(|status| product.status == status)
            && keyword.is_none_or(|word| product.name.to_string().contains(word))
            && category.is_none_or(|category| {
                category.is_some_and(|index| product.categories.contains(&index))
            })
    };
    let numbers = 0..view.shop.product_count();
    Some(
        numbers
            .filter(|index| fits(&view.shop.product(*index)))
            .collect(),
    )
}

/// `GET /products/{id}`.
pub(crate) fn product_details(request: &ClientRequest, view: View<'_>) -> Answer {
    match asked_product(request, view) {
        Some(product) => Answer::json(
            200,
            paging::envelope(view, |json| json::product(json, view, &product)),
        ),
        None => Answer::not_found(request.language),
    }
}

/// `GET /products/{id}/variants`; the sample's page size is 60.
pub(crate) fn list_variants(request: &ClientRequest, view: View<'_>) -> Answer {
    let Some(product) = asked_product(request, view) else {
        return Answer::not_found(request.language);
    };
    let page = Page::of(&request.query, 60, view.scenario.page_cap);
    let path = format!("/admin/v2/products/{}/variants", product.id);
    let body = paging::list(
        view,
        page,
        product.variant_count(),
        &path,
        900,
        |json, place| {
            json::variant(json, view, &product, &product.variant(place));
        },
    );
    Answer::json(200, body)
}

fn asked_product(request: &ClientRequest, view: View<'_>) -> Option<Product> {
    let index = view.shop.product_index(request.id()?)?;
    Some(view.shop.product(index))
}

/// `GET /categories`: the top categories, each with those below it.
pub(crate) fn list_categories(request: &ClientRequest, view: View<'_>) -> Answer {
    let shop = view.shop;
    let below: Vec<_> = (shop.top_category_count()..shop.category_count())
        .map(|index| shop.category(index))
        .collect();
    let page = Page::of(&request.query, 20, view.scenario.page_cap);
    let total = shop.top_category_count();
    let body = paging::list(
        view,
        page,
        total,
        "/admin/v2/categories",
        1_200,
        |json, place| {
            let children: Vec<_> = below
                .iter()
                .filter(|child| child.parent == Some(place))
                .cloned()
                .collect();
            json::category(json, view, &shop.category(place), &children);
        },
    );
    Answer::json(200, body)
}
