//! A line of an order, as the full form nests it and `/orders/items` lists it
//! (docs.salla.dev/5565737e0).

use super::order_parts::{Thumbnail, weight_label};
use super::view::View;
use super::writer::Json;
use crate::scenario::ItemProduct;
use crate::shop::{Currency, Item, Money, Order, Product, Variant};

pub(crate) fn item(json: &mut Json, view: View<'_>, order: &Order, place: usize) {
    let item = &order.items[place];
    let currency = order.head.currency;
    let grams = item.product.grams;
    if place == 0 {
        json.odd_entry();
    }
    json.open();
    json.int("id", item.id);
    json.display("name", item.product.name);
    json.display("sku", item.sku());
    json.quantity(item.wire_quantity(), place == 0);
    json.text("currency", currency.code());
    json.fraction("weight", Money(i64::from(grams)));
    json.key("weight_label");
    weight_label(json, grams);
    json.text("weight_type", "kg");
    json.text("product_type", item.product.kind);
    json.display("product_thumbnail", Thumbnail(item.product.index));
    json.optional_text("mpn", None);
    json.optional_text("gtin", None);
    item_amounts(json, order, item);
    json.text("notes", "");
    product_of_item(json, view, item, currency);
    options(json, view, item, currency);
    json.constant(r#""images":[],"codes":[],"files":[],"reservations":[]"#);
    json.close();
}

fn item_amounts(json: &mut Json, order: &Order, item: &Item) {
    let currency = order.head.currency;
    json.object("amounts", |json| {
        json.money("price_without_tax", item.unit_price, currency);
        json.money("total_discount", item.discount, currency);
        json.object("tax", |json| {
            json.display("percent", format_args!("{}.00", order.tax_percent));
            json.money("amount", item.tax, currency);
        });
        json.money("total", item.total, currency);
    });
}

fn product_of_item(json: &mut Json, view: View<'_>, item: &Item, currency: Currency) {
    match view.scenario.item_product {
        ItemProduct::Absent => {}
        _ if item.is_unnamed => {}
        ItemProduct::IdOnly if item.product_deleted => json.raw("product_id", "null"),
        ItemProduct::IdOnly => json.int("product_id", item.product.id),
        ItemProduct::Nested if item.product_deleted => json.raw("product", "null"),
        ItemProduct::Nested => json.object("product", |json| {
            nested_product(json, view, &item.product, currency);
        }),
    }
}

fn nested_product(json: &mut Json, view: View<'_>, product: &Product, currency: Currency) {
    let price = currency.exchange(product.price);
    let sale_price = product.sale_price().unwrap_or(Money::ZERO);
    json.int("id", product.id);
    json.text("type", product.kind);
    json.object("promotion", |json| {
        json.optional_text("title", None);
        json.optional_text("sub_title", None);
    });
    json.loose_int("quantity", product.quantity.unwrap_or(0) as i64);
    json.text("status", product.status);
    json.bool("is_available", product.status == "sale");
    json.display("sku", product.sku());
    json.display("name", product.name);
    json.money("price", price, currency);
    json.money("sale_price", currency.exchange(sale_price), currency);
    json.text("currency", currency.code());
    json.display(
        "url",
        format_args!("https://salla.sa/dev-{}/p{}", view.shop.id, product.id),
    );
    json.display("thumbnail", Thumbnail(product.index));
    json.bool("has_special_price", product.on_sale);
    json.money("regular_price", price, currency);
    json.nothing("calories");
    json.optional_text("mpn", None);
    json.optional_text("gtin", None);
    json.text(
        "description",
        "منتج عالي الجودة بضمان لمدة سنتين من تاريخ الشراء، التوصيل خلال ثلاثة أيام عمل.",
    );
    json.nothing("favorite");
    json.constant(r#""features":{"availability_notify":{"email":true,"sms":true,"mobile":false}}"#);
    json.nothing("starting_price");
}

fn options(json: &mut Json, view: View<'_>, item: &Item, currency: Currency) {
    let ids = &view.shop.ids;
    let product = item.product.index;
    let chosen = item.variant.iter().flat_map(Variant::values);
    json.objects("options", chosen, |json, (kind, value)| {
        json.int("id", ids.chosen_option(item.slot, kind));
        json.int("product_option_id", ids.option_of(product, kind));
        json.text("name", kind.name());
        json.text("type", "radio");
        json.object("value", |json| {
            json.int("id", ids.option_value_of(product, kind, value));
            json.text("name", kind.value_name(value));
            json.money("price", Money::ZERO, currency);
        });
    });
}
