//! The shop itself, its user, and its statuses.

use super::view::View;
use super::writer::Json;
use crate::scenario::ShopState;
use crate::shop::Original;

/// `GET /store/info` (docs.salla.dev/5394261e0).
pub(crate) fn store_info(json: &mut Json, view: View<'_>) {
    json.open();
    json.int("id", view.shop.id);
    json.text("name", &view.shop.spec.name);
    json.constant(r#""entity":"company","email":"owner@shop.example""#);
    json.constant(r#""avatar":"https://cdn.salla.example/images/logo.jpg""#);
    json.text("plan", view.shop.spec.plan.word());
    json.text("type", "demo");
    json.text("status", status_word(view));
    json.constant(r#""verified":false,"currency":"SAR""#);
    json.text("domain", &view.domain());
    json.text("description", "متجر تجريبي");
    json.object("licenses", |json| {
        json.constant(r#""tax_number":"300000000000003","commercial_number":"1010000000""#);
        json.nothing("freelance_number");
    });
    json.raw("social", "{}");
    json.close();
}

fn status_word(view: View<'_>) -> &'static str {
    if view.scenario.shop_state == ShopState::Active {
        "active"
    } else {
        "inactive"
    }
}

/// The person who installed the app and the merchant
/// (docs.salla.dev/9466620e0).
pub(crate) fn user_info(json: &mut Json, view: View<'_>) {
    json.open();
    json.int("id", view.shop.ids.other.id(7));
    json.constant(r#""name":"مدير المتجر","email":"owner@shop.example","mobile":"+966500000000""#);
    json.constant(r#""role":"user","created_at":"2021-03-27 21:51:56""#);
    json.object("merchant", |json| {
        json.int("id", view.shop.id);
        json.display("username", format_args!("dev-{}", view.shop.id));
        json.text("name", &view.shop.spec.name);
        json.text("avatar", "https://cdn.salla.example/images/logo.jpg");
        json.text("store_location", "24.694018,46.6521887");
        json.text("plan", view.shop.spec.plan.word());
        json.text("status", status_word(view));
        json.text("domain", &view.domain());
        json.constant(r#""tax_number":"300000000000003","commercial_number":"1010000000""#);
        json.constant(r#""created_at":"2021-12-31 12:59:59""#);
    });
    json.close();
}

/// A row of `/orders/statuses`: an original, or the shop's own name for one.
pub(crate) fn order_status(
    json: &mut Json,
    view: View<'_>,
    original: Original,
    custom: Option<usize>,
) {
    json.open();
    match custom {
        None => {
            json.int("id", original.id());
            json.text("name", view.status_name(original));
            json.text("type", "original");
            json.text("slug", original.slug());
            json.constant(r#""original":{},"parent":{}"#);
        }
        Some(place) => {
            json.int("id", view.shop.ids.custom_status.id(place as u64));
            json.text("name", &view.shop.spec.custom_statuses[place].name);
            json.text("type", "custom");
            if !view.shop.spec.gaps.custom_slugs {
                json.text("slug", original.slug());
            }
            for key in ["original", "parent"] {
                json.object(key, |json| {
                    json.int("id", original.id());
                    json.text("name", view.status_name(original));
                });
            }
        }
    }
    json.close();
}
