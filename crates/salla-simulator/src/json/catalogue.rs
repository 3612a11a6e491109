//! Products, variants and categories (docs.salla.dev/5394168e0, /5394169e0).

use super::order_parts::Thumbnail;
use super::view::View;
use super::writer::Json;
use crate::shop::invalid::InvalidKind;
use crate::shop::{Category, Currency, Money, OptionKind, Product, Variant};

const SAR: Currency = Currency::Sar;

/// Starts a product's record and says whether there is one to write.
fn begin(json: &mut Json, view: View<'_>, product: &Product) -> bool {
    let broken = view.scenario.invalid.product(view.seed(), product.index);
    json.begin_record(view.seed(), product.index ^ (1 << 40), broken);
    let is_object = json.broken() != Some(InvalidKind::NotAnObject);
    if is_object {
        json.open();
    } else {
        json.text_value("product");
    }
    is_object
}

pub(crate) fn product(json: &mut Json, view: View<'_>, product: &Product) {
    if !begin(json, view, product) {
        return;
    }
    identity(json, view, product);
    prices(json, product);
    stock(json, product);
    presentation(json, product);
    options(json, view, product);
    let variants = (0..product.variant_count()).map(Some);
    json.array(
        "skus",
        variants.chain([None]),
        |json, number| match number {
            Some(number) => variant(json, view, product, &product.variant(number)),
            None => json.odd_entry(),
        },
    );
    json.array("categories", &product.categories, |json, index| {
        category_of_product(json, view, &view.shop.category(*index));
    });
    json.nothing("brand");
    json.raw("tags", "[]");
    json.close();
}

/// The shape of `format=light`, which is different and has no variants.
pub(crate) fn product_light(json: &mut Json, view: View<'_>, product: &Product) {
    if !begin(json, view, product) {
        return;
    }
    json.record_id(product.id);
    json.display("name", product.name);
    json.display("sku", product.sku());
    json.text("type", product.kind);
    json.text("status", product.status);
    json.main_money("price", product.price, SAR);
    match product.categories.first() {
        Some(index) => json.object("category", |json| {
            let category = view.shop.category(*index);
            json.int("id", category.id);
            json.text("name", &category.name);
        }),
        None => json.raw("category", "{}"),
    }
    json.object("brand", |json| json.text("id", "0"));
    json.object("image", |json| {
        json.display("url", Thumbnail(product.index))
    });
    json.bool("has_options", product.variant_count() > 0);
    json.bool("is_taxable", true);
    json.close();
}

fn identity(json: &mut Json, view: View<'_>, product: &Product) {
    json.record_id(product.id);
    json.object("promotion", |json| {
        json.optional_text("title", None);
        json.optional_text("sub_title", None);
    });
    json.display("sku", product.sku());
    json.display("thumbnail", Thumbnail(product.index));
    json.constant(r#""mpn":"","gtin":"""#);
    json.text("type", product.kind);
    json.display("name", product.name);
    json.display("short_link_code", format_args!("{:x}", product.id));
    json.object("urls", |json| {
        json.display(
            "customer",
            format_args!("https://salla.sa/dev-{}/p{}", view.shop.id, product.id),
        );
        json.display(
            "admin",
            format_args!("https://s.salla.sa/products/{}", product.id),
        );
    });
}

fn prices(json: &mut Json, product: &Product) {
    let sale_price = product.sale_price();
    json.main_money("price", sale_price.unwrap_or(product.price), SAR);
    json.money(
        "taxed_price",
        product.price + product.price.percent(15, SAR),
        SAR,
    );
    json.money("pre_tax_price", product.price, SAR);
    json.money("tax", product.price.percent(15, SAR), SAR);
    match sale_price {
        Some(price) => json.money("sale_price", price, SAR),
        None => json.raw("sale_price", "{}"),
    }
    json.raw("sale_end", "{}");
    json.money("regular_price", product.price, SAR);
    // A string here, an object on variants: so Salla's own samples have it.
    json.display("cost_price", product.price.0 / 2_000);
}

fn stock(json: &mut Json, product: &Product) {
    json.loose_int("quantity", product.quantity.unwrap_or(0) as i64);
    json.bool("unlimited_quantity", product.quantity.is_none());
    json.text("status", product.status);
    json.bool("is_available", product.status == "sale");
    json.loose_int("sold_quantity", product.sold as i64);
    json.loose_int("maximum_quantity_per_order", 10);
    json.constant(r#""max_items_per_user":0,"notify_quantity":"10","hide_quantity":false"#);
    json.constant(r#""managed_by_branches":false"#);
}

fn presentation(json: &mut Json, product: &Product) {
    json.text(
        "description",
        "<p>منتج عالي الجودة بضمان لمدة سنتين من تاريخ الشراء، التوصيل خلال ثلاثة أيام عمل.</p>",
    );
    json.int("views", product.sold as i64 * 7);
    json.bool("require_shipping", product.kind == "product");
    json.fraction("weight", Money(i64::from(product.grams)));
    json.constant(r#""weight_type":"kg","with_tax":true"#);
    json.display("main_image", Thumbnail(product.index));
    json.objects("images", [product.index], |json, image| {
        json.int("id", image as i64 + 1);
        json.display("url", Thumbnail(image));
        json.constant(r#""main":true,"alt":"","type":"image","sort":0"#);
    });
    json.constant(r#""rating":{"total":0,"count":0,"rate":0}"#);
    json.nothing("calories");
    json.constant(r#""channels":["web","app"],"show_in_app":true,"is_pinned":false,"sort":0"#);
    json.plain_date("updated_at", product.updated_at);
}

fn options(json: &mut Json, view: View<'_>, product: &Product) {
    json.objects("options", product.options(), |json, (kind, values)| {
        json.int("id", view.shop.ids.option_of(product.index, kind));
        json.text("name", kind.name());
        json.constant(r#""type":"radio","required":true"#);
        json.int("sort", kind as i64);
        json.constant(r#""display_type":"text","visibility":"always""#);
        json.array("values", 0..values, |json, value| {
            option_value(json, view, product, kind, value);
        });
    });
}

fn option_value(json: &mut Json, view: View<'_>, product: &Product, kind: OptionKind, value: u64) {
    let ids = &view.shop.ids;
    json.open();
    json.int("id", ids.option_value_of(product.index, kind, value));
    json.text("name", kind.value_name(value));
    json.money("price", Money::ZERO, SAR);
    json.int("option_id", ids.option_of(product.index, kind));
    json.bool("is_default", value == 0);
    json.bool("is_out_of_stock", false);
    json.close();
}

pub(crate) fn variant(json: &mut Json, view: View<'_>, product: &Product, variant: &Variant) {
    let ids = &view.shop.ids;
    json.open();
    json.int("id", ids.variant.id(variant.slot));
    json.money("price", variant.price, SAR);
    json.money("regular_price", variant.price, SAR);
    json.money("cost_price", Money(variant.price.0 / 2_000 * 1_000), SAR);
    json.constant(r#""sale_price":{},"has_special_price":false"#);
    json.loose_int("stock_quantity", variant.stock as i64);
    json.bool("unlimited_quantity", product.quantity.is_none());
    json.text("notify_low", "10");
    json.display("barcode", format_args!("628{:09}", variant.slot));
    json.display("sku", variant.sku);
    json.optional_text("mpn", None);
    json.optional_text("gtin", None);
    json.array("related_options", variant.values(), |json, (kind, _)| {
        json.int_value(ids.option_of(product.index, kind));
    });
    json.array(
        "related_option_values",
        variant.values(),
        |json, (kind, value)| json.int_value(ids.option_value_of(product.index, kind, value)),
    );
    json.fraction("weight", Money(i64::from(product.grams)));
    json.constant(r#""weight_type":"kg","is_user_subscribed_to_sku":false"#);
    json.bool("is_default", variant.number == 0);
    json.close();
}

fn category_of_product(json: &mut Json, view: View<'_>, category: &Category) {
    json.open();
    category_fields(json, view, category);
    json.date("update_at", category.updated_at);
    json.raw("sub_categories", "[]");
    json.close();
}

/// A top category with those below it; `update_at` is Salla's own spelling.
pub(crate) fn category(
    json: &mut Json,
    view: View<'_>,
    category: &Category,
    children: &[Category],
) {
    json.open();
    category_fields(json, view, category);
    json.plain_date("update_at", category.updated_at);
    json.array("sub_categories", children, |json, child| {
        self::category(json, view, child, &[]);
    });
    json.close();
}

fn category_fields(json: &mut Json, view: View<'_>, category: &Category) {
    json.int("id", category.id);
    json.text("name", &category.name);
    json.raw("image", "null");
    json.object("urls", |json| {
        json.display(
            "customer",
            format_args!("https://salla.sa/dev-{}/c{}", view.shop.id, category.id),
        );
        json.text("admin", "/categories");
    });
    json.int(
        "parent_id",
        category
            .parent
            .map_or(0, |parent| view.shop.ids.category.id(parent)),
    );
    json.int("sort_order", category.index as i64);
    json.text("status", if category.hidden { "hidden" } else { "active" });
    json.constant(r#""show_in":{"app":true,"salla_points":false},"has_hidden_products":false"#);
}
