//! Customers, products, categories and statuses.

use domain::catalogue::{Category, Product, ProductVariant};
use domain::order::OrderStatus;
use domain::resource::Resource;
use importer::ports::platform::Records;

use crate::make::{at, customer, money, ok, text, whole};
use crate::shop::Shop;

pub(crate) fn product(id: i64) -> Product {
    Product {
        id,
        sku: text("SKU-77"),
        name: text("عباية"),
        kind: text("product"),
        status: text("sale"),
        price: money(11_500),
        regular_price: None,
        sale_price: None,
        cost_price: None,
        quantity: None,
        unlimited_quantity: Some(true),
        sold_quantity: None,
        is_available: Some(true),
        weight: None,
        weight_unit: None,
        brand_id: None,
        brand_name: None,
        url: None,
        updated_at: None,
        variants: vec![variant(1), variant(2)],
        category_ids: vec![Some(5), Some(6), Some(5)],
    }
}

pub(crate) fn variant(id: i64) -> ProductVariant {
    ProductVariant {
        id,
        sku: None,
        barcode: None,
        price: money(11_500),
        regular_price: None,
        sale_price: None,
        cost_price: None,
        stock_quantity: None,
        unlimited_quantity: None,
        option_value_ids: vec![Some(11), Some(12)],
    }
}

pub(crate) async fn land_products(shop: &Shop, page: u32, seconds: i64, products: Vec<Product>) {
    let records = products.into_iter().map(ok).collect();
    shop.land(page, at(seconds), Records::Products(records))
        .await;
}

#[tokio::test]
async fn products_come_with_variants_and_categories() {
    let shop = Shop::open().await;
    land_products(&shop, 1, 0, vec![product(77)]).await;
    let (currency, options): (String, Vec<i64>) = shop
        .one("SELECT p.currency, v.option_value_ids FROM salla.products p JOIN salla.product_variants v ON v.product_id = p.id WHERE v.id = 2")
        .await;
    assert_eq!((currency.as_str(), options), ("SAR", vec![11, 12]));
    assert_eq!(shop.rows("salla.product_categories").await, 3);

    let mut changed = product(77);
    changed.variants = vec![variant(2), variant(3)];
    changed.category_ids = vec![Some(7)];
    land_products(&shop, 2, 10, vec![changed]).await;
    let variants: Vec<(i64, i32)> = shop
        .all("SELECT id, position FROM salla.product_variants ORDER BY id")
        .await;
    assert_eq!(variants, [(2, 1), (3, 2)]);
    let (category,): (i64,) = shop
        .one("SELECT category_id FROM salla.product_categories")
        .await;
    assert_eq!(category, 7);
    assert_eq!(shop.count(Resource::Products).await.loaded, 1);
}

#[tokio::test]
async fn a_product_without_parts_loses_those_it_had() {
    let shop = Shop::open().await;
    land_products(&shop, 1, 0, vec![product(77)]).await;
    let mut bare = product(77);
    bare.variants.clear();
    bare.category_ids.clear();
    land_products(&shop, 2, 10, vec![bare]).await;
    assert_eq!(shop.rows("salla.product_variants").await, 0);
    assert_eq!(shop.rows("salla.product_categories").await, 0);
}

#[tokio::test]
async fn the_list_of_customers_beats_what_orders_say_whichever_comes_first() {
    let shop = Shop::open().await;
    let mut listed = customer(5_001);
    listed.email = text("a@example.com");
    let list = |page, seconds| {
        let records = Records::Customers(vec![ok(listed.clone())]);
        shop.land(page, at(seconds), records)
    };
    let email = "SELECT email, from_list FROM salla.customers WHERE id = 5001";

    shop.land_orders(1, at(0), &[whole(1)]).await;
    assert_eq!(
        shop.one::<(Option<String>, bool)>(email).await,
        (None, false)
    );
    list(1, 10).await;
    let full = (text("a@example.com"), true);
    assert_eq!(shop.one::<(Option<String>, bool)>(email).await, full);
    let mut later = whole(1);
    later.source = text("app");
    shop.land_orders(2, at(20), &[later]).await;
    assert_eq!(shop.one::<(Option<String>, bool)>(email).await, full);
    let (customers,): (i64,) = shop.one("SELECT customers FROM salla_sync.sync_runs").await;
    assert_eq!(customers, 1);
    let counts = shop.count(Resource::Customers).await;
    assert_eq!((counts.loaded, counts.details_needed), (1, 0));
}

#[tokio::test]
async fn categories_and_statuses_land_in_their_tables() {
    let shop = Shop::open().await;
    let category = Category {
        id: 5,
        name: text("عبايات"),
        parent_id: None,
        status: text("active"),
        sort_order: Some(1),
        updated_at: None,
        sub_categories: Vec::new(),
    };
    let child = |id, parent_id| Category {
        id,
        parent_id: Some(parent_id),
        ..category.clone()
    };
    let mut root = category.clone();
    root.sub_categories = vec![child(7, 5)];
    let records = vec![ok(child(6, 5)), ok(root)];
    shop.land(1, at(0), Records::Categories(records)).await;
    let status = OrderStatus {
        id: 525_144_736,
        name: text("ملغي"),
        slug: text("canceled"),
        kind: text("original"),
        original_id: None,
        parent_id: None,
    };
    shop.land(1, at(0), Records::OrderStatuses(vec![ok(status)]))
        .await;
    for resource in [Resource::Categories, Resource::OrderStatuses] {
        assert!(shop.count(resource).await.balances(), "{resource}");
    }
    assert_eq!(
        shop.rows("salla.categories").await,
        3,
        "the one inside of its parent too"
    );
    assert_eq!(shop.rows("salla.order_statuses").await, 1);
}

/// Ids are unique only within one resource: the same number is a product, a customer
/// and an order.
#[tokio::test]
async fn the_same_number_may_be_several_things() {
    let shop = Shop::open().await;
    land_products(&shop, 1, 0, vec![product(5_001)]).await;
    shop.land(1, at(0), Records::Customers(vec![ok(customer(5_001))]))
        .await;
    shop.land_orders(1, at(0), &[whole(5_001)]).await;
    for resource in [Resource::Products, Resource::Customers, Resource::Orders] {
        assert_eq!(shop.count(resource).await.loaded, 1, "{resource}");
    }
    assert_eq!(shop.rows("salla_sync.source_records").await, 3);
}
