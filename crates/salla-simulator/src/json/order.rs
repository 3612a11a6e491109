//! An order in its three forms: the short row of the list, the light details,
//! and the full details that old apps get (docs.salla.dev/5394146e0 and
//! /5394147e0).

use super::delivery::{shipment_branch, shipments, shipping};
use super::item::item;
use super::order_parts::*;
use super::view::View;
use super::writer::Json;
use crate::shop::Order;
use crate::shop::invalid::InvalidKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderForm {
    /// A row of the list: no amounts but the total, items without prices.
    Row,
    /// The same without items, for `format=light`.
    LightRow,
    /// Details without items, shipments or exchange rate.
    Light,
    /// Details with everything.
    Full,
    /// The same, its items gone.
    FullWithoutItems,
}

pub(crate) fn order(json: &mut Json, view: View<'_>, order: &Order, form: OrderForm) {
    view.begin_order(json, &order.head);
    if json.broken() == Some(InvalidKind::NotAnObject) {
        return json.text_value("order");
    }
    json.open();
    match form {
        OrderForm::Row => row(json, view, order, true),
        OrderForm::LightRow => row(json, view, order, false),
        OrderForm::Light => light(json, view, order),
        OrderForm::Full => full(json, view, order, true),
        OrderForm::FullWithoutItems => full(json, view, order, false),
    }
    json.close();
}

fn row(json: &mut Json, view: View<'_>, order: &Order, with_items: bool) {
    let head = &order.head;
    json.record_id(head.id);
    json.int("reference_id", head.reference_id);
    order_total(json, order);
    exchange_rate(json, head);
    json.main_date("date", head.created_at);
    status(json, view, head);
    can_cancel_and_reorder(json, head.status);
    json.text("payment_method", head.payment_method);
    pending_payment(json, head.status);
    json.constant(
        r#""features":{"digitalable":false,"shippable":true,"has_suspicious_alert":false}"#,
    );
    if with_items {
        json.objects(
            "items",
            order.items.iter().enumerate(),
            |json, (place, item)| {
                json.display("name", item.product.name);
                json.quantity(item.wire_quantity(), place == 0);
                json.display("thumbnail", Thumbnail(item.product.index));
            },
        );
    }
    customer_of_order(json, view, head);
}

fn light(json: &mut Json, view: View<'_>, order: &Order) {
    let head = &order.head;
    json.record_id(head.id);
    json.int("checkout_id", view.shop.ids.other.id(head.index));
    json.int("reference_id", head.reference_id);
    json.object("features", |json| {
        json.constant(r#""shippable":true,"digitalable":false"#);
        json.constant(r#""multiple_shipments_supported":false,"order_type_price_quote":false"#);
        json.constant(r#""has_suspicious_alert":false"#);
    });
    json.constant(r#""actions":{"cancellable":false,"reorderable":true,"payable":false}"#);
    urls(json, view, head);
    json.main_date("date", head.created_at);
    json.date("updated_at", head.updated_at);
    source(json, head);
    status(json, view, head);
    json.bool("is_price_quote", false);
    json.text("payment_method", head.payment_method);
    json.text("currency", head.currency.code());
    amounts(json, order);
    closing_flags(json, order);
    receiver(json, view, head);
    customer_of_order(json, view, head);
    json.nothing("bank");
    json.raw("tags", "[]");
}

fn full(json: &mut Json, view: View<'_>, order: &Order, with_items: bool) {
    let head = &order.head;
    json.record_id(head.id);
    json.int("reference_id", head.reference_id);
    urls(json, view, head);
    json.main_date("date", head.created_at);
    json.date("updated_at", head.updated_at);
    source(json, head);
    json.constant(r#""draft":false,"read":true,"source_device":"desktop""#);
    status(json, view, head);
    json.text("payment_method", head.payment_method);
    json.nothing("receipt_image");
    json.text("currency", head.currency.code());
    amounts(json, order);
    exchange_rate(json, head);
    shipping(json, view, order);
    shipments(json, view, order);
    closing_flags(json, order);
    shipment_branch(json, view);
    customer_of_order(json, view, head);
    if with_items {
        json.array("items", 0..order.items.len(), |json, place| {
            item(json, view, order, place);
        });
    }
    json.raw("product_reservations", "[]");
    json.nothing("bank");
    json.raw("tags", "[]");
}
