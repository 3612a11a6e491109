//! A customer (docs.salla.dev/5394121e0, /5394122e0).

use super::view::View;
use super::writer::Json;
use crate::shop::Customer;
use crate::shop::invalid::InvalidKind;

/// A record of the customer list or of `/customers/{id}`.
pub(crate) fn customer(json: &mut Json, view: View<'_>, customer: &Customer, details: bool) {
    let broken = view.scenario.invalid.customer(view.seed(), customer.index);
    json.begin_record(view.seed(), !customer.index, broken);
    if json.broken() == Some(InvalidKind::NotAnObject) {
        return json.text_value("customer");
    }
    json.open();
    json.record_id(customer.id);
    personal_fields(json, view, customer);
    json.date("created_at", customer.created_at);
    json.array("groups", [customer.index % 3], |json, group| {
        json.int_value(view.shop.ids.other.id(200 + group));
    });
    if details {
        json.bool("is_blocked", false);
        json.loose_int("total_points", i64::from(customer.points));
        json.raw("custom_fields", "[]");
    }
    json.close();
}

/// The customer inside an order: a broken order does not break its customer.
pub(super) fn fields(json: &mut Json, view: View<'_>, customer: &Customer) {
    json.int("id", customer.id);
    personal_fields(json, view, customer);
}

fn personal_fields(json: &mut Json, view: View<'_>, customer: &Customer) {
    json.text("first_name", customer.first_name);
    json.text("last_name", customer.last_name);
    json.loose_int("mobile", customer.mobile);
    json.text(
        "mobile_code",
        if customer.index.is_multiple_of(9) {
            "966"
        } else {
            "+966"
        },
    );
    json.display("email", customer.email());
    json.object("urls", |json| {
        json.display(
            "customer",
            format_args!("https://salla.sa/dev-{}/profile", view.shop.id),
        );
        json.display("admin", format_args!("/customers/{:x}", customer.id));
    });
    json.display("avatar", "https://cdn.salla.example/images/avatar.png");
    json.text("gender", if customer.female { "female" } else { "male" });
    match customer.birthday {
        Some(birthday) => json.date("birthday", birthday),
        None => json.nothing("birthday"),
    }
    json.text("city", customer.city_as_written());
    json.text("country", "السعودية");
    json.text("country_code", customer.country_code_as_written());
    json.text("currency", "SAR");
    if customer.index.is_multiple_of(6) {
        json.optional_text("location", None);
    } else {
        json.display("location", customer.location());
    }
    json.date("updated_at", customer.updated_at);
}
