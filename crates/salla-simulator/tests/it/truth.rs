//! What the lists say, read by an independent reader, must be what the truth
//! says: for every age of app, with and without oddities.

use crate::client::{all_rows, get};
use crate::reader::{amount, day, decimal, id, is_nothing, moment};
use salla_simulator::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn small_shop() -> ShopSpec {
    ShopSpec {
        orders: 400,
        customers: 150,
        products: 90,
        plan: Plan::Unlimited,
        ..ShopSpec::default()
    }
}

fn scenario(app_age: AppAge) -> Scenario {
    Scenario {
        shop: small_shop(),
        app_age,
        limits: Limits {
            customers: CustomersLimit {
                enabled: false,
                ..CustomersLimit::default()
            },
            ..Limits::default()
        },
        ..Scenario::default()
    }
}

fn all_orders(sim: &Simulator) -> BTreeMap<i64, TruthOrder> {
    let orders = sim.shop();
    let orders = orders.truth_orders(day("2000-01-01"), day("2100-01-01"));
    orders
        .map(|mut order| {
            // A line without a product does not say what was sold.
            for item in &mut order.items {
                item.sold_product_id = item.product_id.unwrap_or_default();
            }
            (order.id, order)
        })
        .collect()
}

/// Reads a full order with its items; nothing if it must be refused.
fn read_order(order: &Value, items: &Value) -> Option<TruthOrder> {
    let amounts = &order["amounts"];
    let discounts = amounts["discounts"].as_array()?;
    let created_at = moment(&order["date"])?;
    Some(TruthOrder {
        id: id(&order["id"])?,
        reference_id: order["reference_id"].as_i64()?,
        created_at,
        updated_at: moment(&order["updated_at"])?,
        riyadh_date: jiff::tz::Offset::constant(3)
            .to_datetime(jiff::Timestamp::from_second(created_at).ok()?)
            .date(),
        status_slug: leak(&order["status"]["slug"]),
        status_id: order["status"]["id"].as_i64()?,
        custom_status_id: order["status"]["customized"]["id"].as_i64(),
        payment_method: leak(&order["payment_method"]),
        customer_id: order["customer"]["id"].as_i64(),
        currency: leak(&order["currency"]),
        sub_total: amount(&amounts["sub_total"])?,
        shipping: amount(&amounts["shipping_cost"])?,
        cash_on_delivery: amount(&amounts["cash_on_delivery"])?,
        discount: discounts
            .iter()
            .map(|discount| decimal(&discount["discount"]).unwrap())
            .sum(),
        tax_percent: decimal(&amounts["tax"]["percent"])?,
        tax: amount(&amounts["tax"]["amount"])?,
        total: amount(&amounts["total"])?,
        items: items
            .as_array()?
            .iter()
            .map(read_item)
            .collect::<Option<_>>()?,
        gaps: TruthGaps::default(),
    })
}

fn read_item(item: &Value) -> Option<TruthItem> {
    let amounts = &item["amounts"];
    Some(TruthItem {
        id: item["id"].as_i64()?,
        product_id: item["product"]["id"].as_i64(),
        sold_product_id: item["product"]["id"].as_i64().unwrap_or_default(),
        sku: item["sku"].as_str()?.to_owned(),
        name: item["name"].as_str()?.to_owned(),
        quantity: decimal(&item["quantity"])?.try_into().ok()?,
        unit_price: amount(&amounts["price_without_tax"])?,
        discount: amount(&amounts["total_discount"])?,
        tax: amount(&amounts["tax"]["amount"])?,
        total: amount(&amounts["total"])?,
    })
}

fn leak(value: &Value) -> &'static str {
    value.as_str().unwrap_or("").to_owned().leak()
}

/// Imports through expanded lists and compares with the truth, both ways.
async fn expanded_lists_agree(sim: &Simulator) {
    let rows = all_rows(sim, "/orders?expanded=true&sort_by=created_at-asc").await;
    let read: BTreeMap<i64, TruthOrder> = rows
        .iter()
        .filter_map(|row| read_order(row, &row["items"]))
        .map(|order| (order.id, order))
        .collect();
    assert_eq!(read, all_orders(sim));
}

#[tokio::test]
async fn expanded_lists_hold_the_truth() {
    let sim = Simulator::start(scenario(AppAge::Expanded)).await.unwrap();
    expanded_lists_agree(&sim).await;
}

#[tokio::test]
async fn decodable_oddities_do_not_change_the_truth() {
    for seed in 1..4 {
        let mut odd = scenario(AppAge::Expanded);
        odd.shop.seed = seed;
        odd.quirks = Quirks {
            string_numbers: 0.3,
            arabic_digits: 0.3,
            empty_forms: 0.4,
            literal_null: 0.4,
            date_forms: 0.4,
            ..Quirks::default()
        };
        let sim = Simulator::start(odd).await.unwrap();
        expanded_lists_agree(&sim).await;
        products_agree(&sim).await;
        customers_agree(&sim).await;
    }
}

#[tokio::test]
async fn broken_records_are_exactly_the_ones_that_the_truth_names() {
    let mut broken = scenario(AppAge::Expanded);
    broken.shop.orders = 1_200;
    broken.invalid = InvalidRates {
        orders: 0.1,
        customers: 0.2,
        products: 0.2,
    };
    let sim = Simulator::start(broken).await.unwrap();
    expanded_lists_agree(&sim).await;
    products_agree(&sim).await;
    customers_agree(&sim).await;
    let truth = sim.truth(day("2000-01-01"), day("2100-01-01"));
    assert_eq!(truth.orders + rejected(&truth, Resource::Orders), 1_200);
    assert_eq!(truth.customers + rejected(&truth, Resource::Customers), 150);
    assert_eq!(truth.products + rejected(&truth, Resource::Products), 90);
    let kinds: BTreeSet<_> = truth
        .rejections
        .iter()
        .filter(|rejection| rejection.resource == Resource::Orders)
        .map(|rejection| rejection.kind)
        .collect();
    assert_eq!(kinds.len(), InvalidKind::OF_ORDERS.len());
}

fn rejected(truth: &Truth, resource: Resource) -> u64 {
    let of_resource = truth
        .rejections
        .iter()
        .filter(|rejection| rejection.resource == resource);
    of_resource.count() as u64
}

#[tokio::test]
async fn full_details_hold_the_truth() {
    let sim = Simulator::start(scenario(AppAge::FullDetails))
        .await
        .unwrap();
    let truth = all_orders(&sim);
    for row in all_rows(&sim, "/orders?expanded=true")
        .await
        .iter()
        .step_by(9)
    {
        assert!(row.get("amounts").is_none(), "expanded must be ignored");
        let order = get(&sim, &format!("/orders/{}", row["id"])).await.json();
        let order = &order["data"];
        let read = read_order(order, &order["items"]).unwrap();
        assert_eq!(Some(&read), truth.get(&read.id));
    }
}

#[tokio::test]
async fn light_details_and_items_hold_the_truth_together() {
    let sim = Simulator::start(scenario(AppAge::LightDetails))
        .await
        .unwrap();
    let truth = all_orders(&sim);
    for row in all_rows(&sim, "/orders").await.iter().step_by(9) {
        let id = &row["id"];
        let order = get(&sim, &format!("/orders/{id}")).await.json();
        assert!(order["data"].get("items").is_none());
        let items = get(&sim, &format!("/orders/items?order_id={id}"))
            .await
            .json();
        let read = read_order(&order["data"], &items["data"]).unwrap();
        assert_eq!(Some(&read), truth.get(&read.id));
        assert_eq!(amount(&row["total"]), Some(read.total));
        assert_eq!(moment(&row["date"]), Some(read.created_at));
    }
}

#[tokio::test]
async fn amounts_add_up_and_counts_agree() {
    let sim = Simulator::start(scenario(AppAge::Expanded)).await.unwrap();
    let mut deleted_products = 0;
    for order in all_orders(&sim).values() {
        let parts = order.sub_total + order.shipping + order.cash_on_delivery + order.tax;
        assert_eq!(order.total, parts - order.discount);
        assert_eq!(
            order.sub_total,
            order.items.iter().map(|item| item.total).sum()
        );
        deleted_products += order
            .items
            .iter()
            .filter(|item| item.product_id.is_none())
            .count();
    }
    assert!(deleted_products > 0);
    let truth = sim.truth(day("2000-01-01"), day("2100-01-01"));
    let in_months: u64 = truth
        .months
        .values()
        .flat_map(BTreeMap::values)
        .map(|month| month.orders)
        .sum();
    assert_eq!((truth.orders, in_months), (400, 400));
}

async fn customers_agree(sim: &Simulator) {
    let rows = all_rows(sim, "/customers").await;
    let read: BTreeMap<i64, TruthCustomer> = rows
        .iter()
        .filter_map(|row| Some((id(&row["id"])?, read_customer(row)?)))
        .collect();
    let truth: BTreeMap<_, _> = sim
        .shop()
        .truth_customers()
        .map(|customer| (customer.id, customer))
        .collect();
    assert_eq!(read, truth);
}

fn read_customer(row: &Value) -> Option<TruthCustomer> {
    Some(TruthCustomer {
        id: id(&row["id"])?,
        first_name: leak(&row["first_name"]),
        last_name: leak(&row["last_name"]),
        mobile: decimal(&row["mobile"])?.try_into().ok()?,
        email: row["email"].as_str()?.to_owned(),
        city: leak(&row["city"]),
        country_code: leak(&row["country_code"]),
        created_at: moment(&row["created_at"])?,
        updated_at: moment(&row["updated_at"])?,
    })
}

#[tokio::test]
async fn customers_and_products_hold_the_truth() {
    let sim = Simulator::start(scenario(AppAge::Expanded)).await.unwrap();
    customers_agree(&sim).await;
    products_agree(&sim).await;
}

async fn products_agree(sim: &Simulator) {
    let rows = all_rows(sim, "/products").await;
    let read: BTreeMap<i64, TruthProduct> = rows
        .iter()
        .filter_map(|row| Some((id(&row["id"])?, read_product(row)?)))
        .collect();
    let truth: BTreeMap<_, _> = sim
        .shop()
        .truth_products()
        .map(|product| (product.id, product))
        .collect();
    assert_eq!(read, truth);
}

fn read_product(row: &Value) -> Option<TruthProduct> {
    let unlimited = row["unlimited_quantity"].as_bool()?;
    let quantity = decimal(&row["quantity"])?.try_into().ok()?;
    Some(TruthProduct {
        id: id(&row["id"])?,
        sku: row["sku"].as_str()?.to_owned(),
        name: row["name"].as_str()?.to_owned(),
        kind: leak(&row["type"]),
        status: leak(&row["status"]),
        price: amount(&row["price"])?,
        regular_price: amount(&row["regular_price"])?,
        sale_price: (!is_nothing(&row["sale_price"])).then(|| amount(&row["sale_price"]).unwrap()),
        quantity: (!unlimited).then_some(quantity),
        updated_at: moment(&row["updated_at"])?,
        category_ids: row["categories"]
            .as_array()?
            .iter()
            .map(|category| category["id"].as_i64().unwrap())
            .collect(),
        variants: row["skus"]
            .as_array()?
            .iter()
            .map(read_variant)
            .collect::<Option<_>>()?,
    })
}

fn read_variant(sku: &Value) -> Option<TruthVariant> {
    Some(TruthVariant {
        id: sku["id"].as_i64()?,
        sku: sku["sku"].as_str()?.to_owned(),
        price: amount(&sku["price"])?,
        stock: decimal(&sku["stock_quantity"])?.try_into().ok()?,
    })
}

#[tokio::test]
async fn categories_and_statuses_hold_the_truth() {
    let sim = Simulator::start(scenario(AppAge::Expanded)).await.unwrap();
    let mut listed = BTreeSet::new();
    for top in all_rows(&sim, "/categories").await {
        listed.insert((top["id"].as_i64().unwrap(), None));
        for below in top["sub_categories"].as_array().unwrap() {
            assert_eq!(below["parent_id"], top["id"]);
            listed.insert((below["id"].as_i64().unwrap(), top["id"].as_i64()));
        }
    }
    let truth = sim
        .shop()
        .truth_categories()
        .map(|category| (category.id, category.parent_id))
        .collect();
    assert_eq!(listed, truth);
    let statuses = get(&sim, "/orders/statuses").await.json();
    let listed: Vec<_> = statuses["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|status| status["id"].as_i64().unwrap())
        .collect();
    let truth: Vec<_> = sim
        .shop()
        .truth_statuses()
        .map(|status| status.id)
        .collect();
    assert_eq!(listed, truth);
}

#[tokio::test]
async fn a_window_of_the_truth_is_what_the_date_filter_lists() {
    let sim = Simulator::start(scenario(AppAge::Expanded)).await.unwrap();
    let (from, to) = (day("2024-11-20"), day("2024-12-05"));
    let rows = all_rows(&sim, &format!("/orders?from_date={from}&to_date={to}")).await;
    let listed: BTreeSet<_> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    let truth: BTreeSet<_> = sim
        .shop()
        .truth_orders(from, to)
        .map(|order| order.id)
        .collect();
    assert!(!truth.is_empty());
    assert_eq!(listed, truth);
    assert_eq!(sim.truth(from, to).orders, truth.len() as u64);
}

#[tokio::test]
async fn a_shop_that_changes_stays_true() {
    let sim = Simulator::start(scenario(AppAge::Expanded)).await.unwrap();
    let shop = sim.first_shop();
    let before = all_orders(&sim);
    let (deleted, edited) = {
        let mut ids = before.keys().copied();
        (ids.next().unwrap(), ids.next().unwrap())
    };
    let inserted = shop.insert_order("2025-06-15T09:30:00Z".parse().unwrap());
    assert!(shop.delete_order(deleted));
    assert!(!shop.delete_order(deleted));
    assert!(shop.edit_order(edited, Original::Restored));
    let after = all_orders(&sim);
    assert_eq!(after.len(), before.len());
    assert!(after.contains_key(&inserted) && !after.contains_key(&deleted));
    assert_eq!(after[&edited].status_slug, "restored");
    expanded_lists_agree(&sim).await;
    assert_eq!(get(&sim, &format!("/orders/{deleted}")).await.status, 404);
    let newest = get(&sim, "/orders?per_page=1").await.json();
    assert_eq!(newest["data"][0]["id"].as_i64(), Some(inserted));
    let latest = get(&sim, "/orders?per_page=1&sort_by=updated_at-desc")
        .await
        .json();
    let latest = latest["data"][0]["id"].as_i64().unwrap();
    assert!(latest == inserted || latest == edited);
}

#[tokio::test]
async fn a_shop_that_drifts_is_true_in_every_field_once_it_keeps_still() {
    let mut drifting = scenario(AppAge::Expanded);
    let drift = ResourceDrift {
        arrive_every: 2,
        edit_every: 1,
        delete_every: 3,
        until_request: 60,
        pair_with_insert: true,
        ..ResourceDrift::default()
    };
    drifting.drift = Drift {
        seed: 11,
        counts: DriftCounts::AllRequests,
        orders: drift,
        customers: drift,
        products: drift,
    };
    let sim = Simulator::start(drifting).await.unwrap();
    let before = sim.shop();
    let truth_before = before.truth(day("2000-01-01"), day("2100-01-01"));
    for page in 1..=20 {
        for list in ["orders", "customers", "products"] {
            get(&sim, &format!("/{list}?page={page}&per_page=7")).await;
        }
    }
    assert!(sim.first_shop().drift_events().len() > 150);
    expanded_lists_agree(&sim).await;
    customers_agree(&sim).await;
    products_agree(&sim).await;
    let truth = sim.truth(day("2000-01-01"), day("2100-01-01"));
    assert_eq!(truth.orders, 400 + 30);
    assert_ne!(truth, truth_before);
    let of_old_view = before.truth(day("2000-01-01"), day("2100-01-01"));
    assert_eq!(of_old_view, truth_before, "a view is of its moment");
}
