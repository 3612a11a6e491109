//! How an order travels: the carrier, the shipments, the branches. Only the
//! full form of an order has these.

use super::order_parts::{Thumbnail, receiver};
use super::view::View;
use super::writer::Json;
use crate::shop::{CITIES, COURIERS, Currency, Money, Order};

pub(super) fn shipping(json: &mut Json, view: View<'_>, order: &Order) {
    let head = &order.head;
    json.object("shipping", |json| {
        json.int("id", view.shop.ids.other.id(order.courier as u64));
        json.nothing("app_id");
        json.text("company", COURIERS[order.courier]);
        json.display("logo", Thumbnail(order.courier as u64));
        receiver(json, view, head);
        json.object("shipper", |json| {
            json.text("name", "Riyadh");
            json.text("company_name", &view.shop.spec.name);
            json.constant(r#""email":"","phone":"0555555555""#);
        });
        json.object("pickup_address", |json| address(json, head.index));
        json.object("address", |json| address(json, head.index / 7 + 3));
        json.object("shipment", |json| {
            json.display("id", format_args!("SH{}", head.reference_id));
            json.nothing("pickup_id");
            json.display(
                "tracking_link",
                format_args!("https://track.example/{}", head.reference_id),
            );
            json.raw("label", "[]");
        });
        json.raw("policy_options", "[]");
        json.int("shipment_reference", head.reference_id);
        json.int("branch_id", view.shop.ids.other.id(90));
    });
}

fn address(json: &mut Json, place: u64) {
    let (arabic, _, latitude, longitude) = CITIES[place as usize % CITIES.len()];
    let number = place % 900 + 10;
    json.constant(r#""country":"السعودية","country_code":"SA""#);
    json.text("city", arabic);
    json.display(
        "shipping_address",
        format_args!(" شارع {number}، الحي {}، {arabic}, السعودية", number % 40),
    );
    json.display("street_number", number);
    json.display("block", number % 40);
    json.display("postal_code", 11_000 + number);
    json.object("geo_coordinates", |json| {
        json.raw("lat", latitude);
        json.raw("lng", longitude);
    });
}

pub(super) fn shipments(json: &mut Json, view: View<'_>, order: &Order) {
    json.objects("shipments", [()], |json, ()| {
        shipment(json, view, order);
    });
}

fn shipment(json: &mut Json, view: View<'_>, order: &Order) {
    let head = &order.head;
    json.int("id", view.shop.ids.other.id(head.index + 1_000));
    json.date("created_at", head.created_at + 600);
    json.text("type", "shipment");
    json.int("courier_id", view.shop.ids.other.id(order.courier as u64));
    json.text("courier_name", COURIERS[order.courier]);
    json.display("courier_logo", Thumbnail(order.courier as u64));
    json.display("shipping_number", head.reference_id);
    json.nothing("tracking_number");
    json.nothing("pickup_id");
    json.bool("trackable", true);
    json.nothing("tracking_link");
    json.nothing("label");
    json.text(
        "payment_method",
        if head.payment_method == "cod" {
            "cod"
        } else {
            "pre_paid"
        },
    );
    json.text("source", "store");
    json.text("status", head.status.slug());
    json.money("total", order.total, head.currency);
    json.money("cash_on_delivery", order.cash_on_delivery, head.currency);
    json.bool("is_international", head.currency != Currency::Sar);
    weight(json, "total_weight", order.grams());
    packages(json, order);
    json.object("ship_to", |json| {
        json.constant(r#""type":"address","name":"""#);
        json.nothing("email");
        json.text("country", "السعودية");
        json.text("city", CITIES[head.index as usize % CITIES.len()].0);
    });
    json.object("meta", |json| {
        json.int("app_id", view.shop.ids.other.id(80));
        json.raw("policy_options", "[]");
    });
}

fn packages(json: &mut Json, order: &Order) {
    json.objects("packages", &order.items, |json, item| {
        json.int("item_id", item.id);
        json.nothing("external_id");
        json.int("quantity", i64::from(item.quantity));
        weight(json, "weight", item.product.grams * item.quantity);
    });
}

fn weight(json: &mut Json, key: &str, grams: u32) {
    json.object(key, |json| {
        json.fraction("value", Money(i64::from(grams)));
        json.text("units", "kg");
    });
}

pub(super) fn shipment_branch(json: &mut Json, view: View<'_>) {
    json.objects(
        "shipment_branch",
        [("الفرع الرئيسي", true), ("Riyadh", false)],
        |json, (name, main)| {
            json.int("id", view.shop.ids.other.id(if main { 91 } else { 90 }));
            json.text("name", name);
            json.text("status", "active");
            json.bool("is_default", main);
            json.raw("type", "[]");
        },
    );
}
