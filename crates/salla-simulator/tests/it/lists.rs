//! Pages, filters, sorting and the shapes of refusals.

use crate::client::{all_rows, get};
use salla_simulator::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn start(change: impl FnOnce(&mut Scenario)) -> Simulator {
    let mut scenario = Scenario {
        shop: ShopSpec {
            orders: 500,
            customers: 100,
            products: 70,
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    };
    change(&mut scenario);
    Simulator::start(scenario).await.unwrap()
}

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

fn dates(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|row| row["date"]["date"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_have_the_documented_sizes() {
    let sim = start(|_| {}).await;
    let cases = [
        ("/orders", 15, 500),
        ("/orders?per_page=100", 60, 500),
        ("/customers", 15, 100),
        ("/products", 20, 70),
        ("/products?per_page=61", 60, 70),
    ];
    for (path, size, total) in cases {
        let pagination = get(&sim, path).await.json()["pagination"].clone();
        assert_eq!(pagination["perPage"], size, "{path}");
        assert_eq!(pagination["count"], size, "{path}");
        assert_eq!(pagination["total"], total, "{path}");
        assert_eq!(
            pagination["totalPages"].as_u64().unwrap(),
            (total as u64).div_ceil(size),
            "{path}"
        );
    }
    let capped = start(|scenario| scenario.orders_page_cap = 30).await;
    assert_eq!(
        get(&capped, "/orders?per_page=60").await.json()["pagination"]["perPage"],
        30
    );
    assert_eq!(
        get(&capped, "/customers?per_page=60").await.json()["pagination"]["perPage"],
        60
    );
}

#[tokio::test]
async fn past_the_end_there_is_nothing_and_no_error() {
    let sim = start(|_| {}).await;
    let reply = get(&sim, "/orders?page=1000").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["data"], json!([]));
}

#[tokio::test]
async fn links_forget_the_other_parameters() {
    let sim = start(|scenario| scenario.empty_links = EmptyLinks::Array).await;
    let links = get(&sim, "/orders?page=2&per_page=60&status[]=525144736")
        .await
        .json()["pagination"]["links"]
        .clone();
    assert!(
        links == json!([]) || links["previous"] == "http://api.salla.dev/admin/v2/orders?page=1"
    );
    let links = get(&sim, "/orders?page=2&per_page=60").await.json()["pagination"]["links"].clone();
    assert_eq!(links["next"], "http://api.salla.dev/admin/v2/orders?page=3");
    let only = get(&sim, "/orders?from_date=1999-01-01&to_date=1999-01-02")
        .await
        .json();
    assert_eq!(only["pagination"]["links"], json!([]));
    assert_eq!(only["pagination"]["totalPages"], 1);
}

#[tokio::test]
async fn every_sort_is_a_permutation_in_the_right_order() {
    let sim = start(|_| {}).await;
    let newest_first = all_rows(&sim, "/orders").await;
    let everything: BTreeSet<_> = ids(&newest_first).into_iter().collect();
    assert_eq!(everything.len(), 500);
    assert!(dates(&newest_first).is_sorted_by(|a, b| a >= b));
    let oldest_first = all_rows(&sim, "/orders?sort_by=created_at-asc").await;
    assert!(dates(&oldest_first).is_sorted());
    let by_id = ids(&all_rows(&sim, "/orders?sort_by=id-asc").await);
    assert!(by_id.is_sorted());
    assert_eq!(by_id.into_iter().collect::<BTreeSet<_>>(), everything);
    let by_total = all_rows(&sim, "/orders?sort_by=total-desc").await;
    let totals: Vec<_> = by_total
        .iter()
        .map(|row| row["total"]["amount"].as_f64().unwrap())
        .collect();
    assert!(totals.is_sorted_by(|a, b| a >= b));
    let by_update = ids(&all_rows(&sim, "/orders?sort_by=updated_at-desc").await);
    assert_eq!(by_update.into_iter().collect::<BTreeSet<_>>(), everything);
}

#[tokio::test]
async fn filters_find_what_the_rows_say() {
    let sim = start(|_| {}).await;
    let rows = all_rows(&sim, "/orders").await;
    let customer = rows[0]["customer"]["id"].as_i64().unwrap();
    let of_customer = |rows: &[Value]| {
        let theirs: Vec<Value> = rows
            .iter()
            .filter(|row| row["customer"]["id"] == customer)
            .cloned()
            .collect();
        ids(&theirs)
    };
    let found = all_rows(&sim, &format!("/orders?customer_id={customer}")).await;
    assert_eq!(ids(&found), of_customer(&rows));
    let canceled = all_rows(&sim, "/orders?status[]=525144736").await;
    assert!(!canceled.is_empty());
    assert!(
        canceled
            .iter()
            .all(|row| row["status"]["slug"] == "canceled")
    );
    let reference = &rows[7]["reference_id"];
    let found = all_rows(&sim, &format!("/orders?reference_id={reference}")).await;
    assert_eq!(ids(&found), [rows[7]["id"].as_i64().unwrap()]);
    let found = all_rows(&sim, &format!("/orders?keyword={reference}")).await;
    assert_eq!(ids(&found), [rows[7]["id"].as_i64().unwrap()]);
    let hidden = all_rows(&sim, "/products?status=hidden").await;
    assert!(hidden.iter().all(|row| row["status"] == "hidden"));
    let category = all_rows(&sim, "/products").await[0]["categories"][0]["id"]
        .as_i64()
        .unwrap();
    let in_category = all_rows(&sim, &format!("/products?category={category}")).await;
    assert!(!in_category.is_empty());
}

#[tokio::test]
async fn adjoining_windows_cover_the_shop_once() {
    let sim = start(|_| {}).await;
    let windows = [
        "from_date=2023-01-01&to_date=2024-06-30",
        "from_date=2024-07-01&to_date=2025-01-15",
        "from_date=2025-01-16&to_date=2025-06-15T23:59:59",
    ];
    let mut seen = Vec::new();
    for window in windows {
        seen.extend(ids(&all_rows(&sim, &format!("/orders?{window}")).await));
    }
    assert_eq!(seen.len(), 500);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 500);
}

#[tokio::test]
async fn customers_can_be_filtered_by_date() {
    let sim = start(|_| {}).await;
    let early = all_rows(&sim, "/customers?date_to=2024-06-30").await;
    let late = all_rows(&sim, "/customers?date_from=2024-07-01").await;
    assert!(!early.is_empty() && !late.is_empty());
    assert_eq!(early.len() + late.len(), 100);
}

#[tokio::test]
async fn variants_are_listed_apart_as_well() {
    let sim = start(|_| {}).await;
    let products = all_rows(&sim, "/products").await;
    let product = products
        .iter()
        .find(|row| !row["skus"].as_array().unwrap().is_empty())
        .unwrap();
    let variants = all_rows(&sim, &format!("/products/{}/variants", product["id"])).await;
    assert_eq!(Value::from(variants), product["skus"]);
    let details = get(&sim, &format!("/products/{}", product["id"]))
        .await
        .json();
    assert_eq!(&details["data"], product);
}

#[tokio::test]
async fn light_rows_are_lighter() {
    let sim = start(|_| {}).await;
    let order = get(&sim, "/orders?format=light&per_page=1").await.json();
    assert!(order["data"][0].get("items").is_none());
    let product = get(&sim, "/products?format=light&per_page=1").await.json();
    assert!(product["data"][0].get("skus").is_none());
    assert!(product["data"][0]["has_options"].is_boolean());
}

#[tokio::test]
async fn both_shapes_of_404_exist() {
    let sim = start(|_| {}).await;
    let order = get(&sim, "/orders/1").await;
    assert_eq!(order.status, 404);
    assert!(order.text.starts_with(r#"{"success":false,"status":404"#));
    assert_eq!(order.json()["error"]["code"], 404);
    let product = get(&sim, "/products/1").await;
    assert_eq!(product.status, 404);
    assert_eq!(product.json()["error"]["code"], "error");
    assert!(
        product.json()["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("المحتوى")
    );
    assert_eq!(get(&sim, "/carts/abandoned").await.status, 404);
}

#[tokio::test]
async fn unknown_parameters_are_refused_where_integrators_were_refused() {
    let sim = start(|_| {}).await;
    for path in [
        "/products?sort_by=id-asc",
        "/products?keyword=123",
        "/orders?from_date=yesterday",
        "/orders?sort_by=name-asc",
    ] {
        let reply = get(&sim, path).await;
        assert_eq!(reply.status, 422, "{path}");
        assert_eq!(reply.json()["error"]["message"], "alert.invalid_fields");
    }
}

#[tokio::test]
async fn an_empty_shop_is_a_shop() {
    let sim = start(|scenario| {
        scenario.shop = ShopSpec {
            orders: 0,
            customers: 0,
            products: 0,
            categories: 0,
            ..ShopSpec::default()
        };
    })
    .await;
    for path in [
        "/orders",
        "/orders?sort_by=total-asc",
        "/customers",
        "/products",
        "/categories",
    ] {
        let list = get(&sim, path).await.json();
        assert_eq!(list["data"], json!([]), "{path}");
        assert_eq!(list["pagination"]["totalPages"], 1, "{path}");
    }
}

#[tokio::test]
async fn orders_outlive_all_their_products_and_customers() {
    let sim = start(|scenario| {
        scenario.shop.products = 0;
        scenario.shop.customers = 0;
    })
    .await;
    for order in all_rows(&sim, "/orders?expanded=true").await {
        assert!(order["customer"].get("id").is_none());
        let items = order["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["product"].is_null()));
    }
}
