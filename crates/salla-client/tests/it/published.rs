//! Every example payload that Salla has published must be understood, and rightly.
//!
//! The payloads are Salla's and not part of this project. They are read from the
//! folder that `SALLA_EXAMPLES` names; a folder that is named and missing fails.
//! Without the variable one line says that nothing was tested, and the tests pass.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Once;

use domain::instant::DateReading;
use domain::order::{Completeness, OrderCustomer};
use domain::rejection::Rejection;
use domain::resource::Resource;
use domain::shop::ShopPlan;
use importer::ports::platform::{Decoded, Pagination, Records};
use rust_decimal::Decimal;
use salla_client::envelope::{EnvelopeError, split_list, split_one};
use salla_client::translate;
use serde_json::value::RawValue;

/// The folder of the examples; `None` without the variable.
fn folder() -> Option<PathBuf> {
    // Written past the test harness, which would swallow what `println!` says.
    static REPORT: Once = Once::new();
    if let Some(folder) = std::env::var_os("SALLA_EXAMPLES").map(PathBuf::from) {
        assert!(
            folder.is_dir(),
            "SALLA_EXAMPLES names {}, which is not a folder",
            folder.display()
        );
        return Some(folder);
    }
    REPORT.call_once(|| {
        let line = "not tested: set SALLA_EXAMPLES to the folder of Salla's published examples";
        std::io::stderr()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    });
    None
}

pub(crate) fn example(name: &str) -> Option<Vec<u8>> {
    let path = folder()?.join(name);
    let body = std::fs::read(&path);
    Some(body.unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

fn one<T>(name: &str, translate: fn(&RawValue) -> Result<T, Rejection>, check: impl FnOnce(T)) {
    if let Some(body) = example(name) {
        check(translate(split_one(&body).unwrap()).unwrap());
    }
}

fn list(name: &str, resource: Resource, check: impl FnOnce(Records, Pagination)) {
    if let Some(body) = example(name) {
        let (rows, pagination) = split_list(&body).unwrap();
        check(translate::decode_list(resource, rows), pagination);
    }
}

fn accepted<T>(records: Vec<Decoded<T>>) -> Vec<T> {
    records.into_iter().map(|r| r.outcome.unwrap()).collect()
}

pub(crate) fn decimal(text: &str) -> Option<Decimal> {
    Some(text.parse().unwrap())
}

#[test]
fn orders_list() {
    list(
        "orders_list.json",
        Resource::Orders,
        |records, pagination| {
            assert_eq!(
                (pagination.count, pagination.total, pagination.per_page),
                (2, 2, 15)
            );
            assert_eq!((pagination.current_page, pagination.total_pages), (1, 1));
            let Records::Orders(records) = records else {
                panic!()
            };
            assert!(records[0].raw.starts_with('{') && records[0].raw.ends_with('}'));
            let orders = accepted(records);
            assert_eq!(orders.len(), 2);
            let [first, second] = &orders[..] else {
                panic!()
            };
            assert_eq!(
                (first.id, first.reference_id),
                (1_017_120_475, Some(40_497_536))
            );
            assert_eq!(first.total.as_ref().unwrap().amount, Decimal::from(55));
            assert_eq!(first.currency.as_deref(), Some("SAR"));
            assert_eq!(first.created_at.instant.to_string(), "2022-06-16T11:48:20Z");
            assert_eq!(first.created_at.raw, "2022-06-16 14:48:20.000000");
            let rate = first.exchange_rate.as_ref().unwrap();
            assert_eq!(rate.rate, decimal("0.266592"));
            assert_eq!(rate.exchange_currency.as_deref(), Some("USD"));
            let status = first.status.as_ref().unwrap();
            assert_eq!(status.slug.as_deref(), Some("under_review"));
            assert_eq!(
                (status.id, status.custom_id),
                (Some(566_146_469), Some(986_688_842))
            );
            assert_eq!(first.payment_method.as_deref(), Some("bank"));
            assert_eq!(second.payment_method, None);
            assert_eq!(second.total.as_ref().unwrap().amount, Decimal::ZERO);
            for order in &orders {
                assert_eq!(order.completeness(), Completeness::Header);
                assert_eq!((&order.items, &order.customer), (&None, &None));
            }
        },
    );
}

#[test]
fn order_details() {
    one("order_details.json", translate::order, |order| {
        assert_eq!(order.id, 418_149_270);
        assert_eq!(order.completeness(), Completeness::DetailWithoutItems);
        assert_eq!(
            order.total.as_ref().unwrap().amount,
            decimal("302.5").unwrap()
        );
        let amounts = order.amounts.as_ref().unwrap();
        assert_eq!(amounts.subtotal, decimal("250"));
        assert_eq!(amounts.shipping, decimal("13.04"));
        assert_eq!(amounts.cash_on_delivery, decimal("0"));
        assert_eq!(
            (amounts.tax_percent, amounts.tax),
            (decimal("15"), decimal("39.46"))
        );
        assert_eq!(amounts.discount_total(), decimal("15.00"));
        assert_eq!(amounts.discounts[0].code.as_deref(), Some("kb123"));
        assert_eq!(amounts.discounts[0].kind.as_deref(), Some("normal"));
        assert_eq!(amounts.discounts[0].shipping_amount, decimal("0"));
        let Some(OrderCustomer::Known(customer)) = &order.customer else {
            panic!()
        };
        assert_eq!(customer.id, 1_473_353_380);
        assert_eq!(customer.mobile.as_deref(), Some("501724227"));
        assert_eq!(customer.birthday.unwrap().to_string(), "1970-01-01");
        assert_eq!(order.created_at.instant.to_string(), "2024-02-15T05:23:05Z");
        let updated = order.updated_at.as_ref().unwrap();
        assert_eq!(updated.instant.to_string(), "2024-02-15T08:23:05Z");
        assert_eq!(updated.reading, DateReading::Riyadh);
        assert_eq!(order.source.as_deref(), Some("store"));
    });
}

#[test]
fn order_details_with_items() {
    one(
        "order_details_full_deprecated.json",
        translate::order,
        |order| {
            assert_eq!(order.completeness(), Completeness::Full);
            assert_eq!(
                order.total.as_ref().unwrap().amount,
                decimal("115.25").unwrap()
            );
            let amounts = order.amounts.as_ref().unwrap();
            assert_eq!(amounts.tax, decimal("15.03"));
            assert!(amounts.discounts.is_empty());
            let items = order.items.as_ref().unwrap();
            assert_eq!(items.len(), 2);
            assert_eq!(
                (items[0].id, items[0].product_id),
                (951_850_235, Some(268_564_496))
            );
            assert_eq!(items[0].unit_price, decimal("45.22"));
            assert_eq!(
                (items[0].tax_percent, items[0].tax),
                (decimal("15"), decimal("6.78"))
            );
            assert_eq!(
                (items[1].id, items[1].product_id),
                (177_812_420, Some(762_341_264))
            );
            assert_eq!(items[1].sku.as_deref(), Some("62230043780581"));
            assert_eq!(items[1].total, decimal("15"));
            assert_eq!(order.customer.as_ref().unwrap().id(), Some(2_107_468_057));
        },
    );
}

#[test]
fn order_items() {
    one("order_items.json", translate::order_items, |items| {
        let [item] = &items[..] else { panic!() };
        assert_eq!((item.id, item.product_id), (365_435_777, None));
        assert_eq!(
            (item.name.as_str(), item.sku.as_deref()),
            ("SSD", Some("sam-ssd-256g"))
        );
        assert_eq!(item.quantity, Decimal::ONE);
        assert_eq!(item.unit_price, decimal("150"));
        assert_eq!((item.tax, item.discount), (decimal("22.5"), decimal("0")));
        assert_eq!(item.total, decimal("150"));
        assert_eq!(item.currency.as_deref(), Some("SAR"));
    });
}

#[test]
fn order_statuses() {
    list(
        "order_statuses_original.json",
        Resource::OrderStatuses,
        |records, pagination| {
            assert_eq!((pagination.count, pagination.total), (10, 10));
            assert_eq!((pagination.current_page, pagination.total_pages), (1, 1));
            let Records::OrderStatuses(records) = records else {
                panic!()
            };
            let statuses = accepted(records);
            assert_eq!(statuses[7].slug.as_deref(), Some("canceled"));
            assert_eq!(statuses[7].id, 525_144_736);
            for status in statuses {
                assert_eq!(status.kind.as_deref(), Some("original"));
                assert_eq!((status.original_id, status.parent_id), (None, None));
            }
        },
    );
}

#[test]
fn customers() {
    list(
        "customers_list.json",
        Resource::Customers,
        |records, pagination| {
            assert_eq!((pagination.total, pagination.per_page), (2, 15));
            let Records::Customers(records) = records else {
                panic!()
            };
            let customers = accepted(records);
            assert_eq!(customers[0].id, 2_075_683_582);
            assert_eq!(customers[1].first_name.as_deref(), Some("Ali"));
            assert_eq!(customers[1].mobile.as_deref(), Some("777777777"));
            assert_eq!(customers[1].mobile_code.as_deref(), Some("967"));
            assert_eq!(
                (customers[1].birthday, &customers[1].created_at),
                (None, &None)
            );
            let updated = customers[1].updated_at.as_ref().unwrap();
            assert_eq!(updated.instant.to_string(), "2020-04-02T19:43:26Z");
        },
    );
    one("customer.json", translate::customer, |customer| {
        assert_eq!(customer.email.as_deref(), Some("ahmedali@test.test"));
        assert_eq!(customer.country_code.as_deref(), Some("SA"));
    });
}

#[test]
fn products() {
    list(
        "products_list.json",
        Resource::Products,
        |records, pagination| {
            assert_eq!((pagination.count, pagination.total), (20, 90));
            let Records::Products(records) = records else {
                panic!()
            };
            let products = accepted(records);
            assert_eq!(products.len(), 2);
            assert_eq!(
                (products[0].id, products[0].quantity),
                (1_672_932_878, decimal("50"))
            );
            assert_eq!(products[0].variants[0].stock_quantity, decimal("12"));
            assert_eq!(products[0].category_ids, []);
            assert_eq!(
                products[1].price.as_ref().unwrap().amount,
                decimal("79").unwrap()
            );
            assert_eq!(products[1].category_ids, [Some(1_032_561_074)]);
            assert_eq!(
                (products[1].brand_id, &products[1].brand_name),
                (None, &None)
            );
        },
    );
    one("product.json", translate::product, |product| {
        assert_eq!(
            (product.id, product.cost_price),
            (1_672_932_878, decimal("35"))
        );
        assert_eq!(product.sku.as_deref(), Some("23-TD23-32"));
        assert_eq!(product.unlimited_quantity, Some(true));
        assert_eq!(
            (product.weight, product.weight_unit.as_deref()),
            (decimal("1"), Some("kg"))
        );
        let updated = product.updated_at.as_ref().unwrap();
        assert_eq!(updated.instant.to_string(), "2024-03-06T10:50:32Z");
        assert_eq!(product.variants.len(), 4);
        let variant = &product.variants[1];
        assert_eq!(
            (variant.id, variant.stock_quantity),
            (1_298_053_917, decimal("10"))
        );
        assert_eq!(
            (variant.cost_price, &variant.sale_price),
            (decimal("0"), &None)
        );
        assert_eq!(
            variant.option_value_ids,
            [Some(369_375_517), Some(410_377_234)]
        );
    });
}

#[test]
fn categories() {
    list(
        "categories_list.json",
        Resource::Categories,
        |records, pagination| {
            assert_eq!((pagination.count, pagination.per_page), (7, 20));
            let Records::Categories(records) = records else {
                panic!()
            };
            let categories = accepted(records);
            assert_eq!(
                (categories[3].id, categories[3].parent_id),
                (774_382_199, None)
            );
            assert_eq!(categories[3].status.as_deref(), Some("hidden"));
            assert_eq!(categories[3].sort_order, Some(2));
            let updated = categories[3].updated_at.as_ref().unwrap();
            assert_eq!(updated.raw, "2024-10-21 14:45:27");
        },
    );
}

#[test]
fn store_info() {
    one("store_info.json", translate::shop_info, |shop| {
        assert_eq!((shop.salla_id, &shop.plan), (1_305_146_709, &ShopPlan::Pro));
        assert_eq!(
            (shop.kind.as_deref(), shop.status.as_deref()),
            (Some("demo"), Some("active"))
        );
        assert_eq!(shop.currency.as_deref(), Some("SAR"));
    });
}

#[test]
fn product_variants_are_an_envelope_like_any_other() {
    if let Some(body) = example("product_variants.json") {
        let (rows, pagination) = split_list(&body).unwrap();
        assert_eq!((rows.len(), pagination.per_page), (1, 60));
    }
}

/// What every published payload is at first sight; a payload that is not listed
/// here fails, so that a new one is not overlooked.
#[test]
fn no_published_payload_is_overlooked() {
    let Some(folder) = folder() else { return };
    let no_envelope = [
        "token.json",
        "token_refresh.json",
        "user_info_php_library_readme.json",
    ];
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".json") {
            continue;
        }
        let body = example(&name).unwrap();
        let split = split_one(&body);
        if name.starts_with("error_") {
            assert!(matches!(split, Err(EnvelopeError::Api(_))), "{name}");
        } else if no_envelope.contains(&name.as_str()) {
            assert!(
                matches!(split, Err(EnvelopeError::NotAnEnvelope(_))),
                "{name}"
            );
        } else {
            assert!(split.is_ok(), "{name}");
        }
    }
}

/// Webhooks have another frame around the same records.
#[test]
fn orders_and_products_in_webhooks() {
    one("order_created_webhook.json", translate::order, |order| {
        assert_eq!(
            (order.id, order.completeness()),
            (2_116_149_737, Completeness::Full)
        );
        let amounts = order.amounts.as_ref().unwrap();
        assert_eq!(amounts.discounts[0].shipping_amount, decimal("0"));
        assert_eq!(order.items.as_ref().unwrap()[0].discount, decimal("5"));
    });
    one(
        "product_created_webhook.json",
        translate::product,
        |product| {
            assert_eq!((product.id, product.cost_price), (1_025_569_331, None));
            assert_eq!((product.sku, product.brand_id), (None, None));
        },
    );
    if let Some(body) = example("order_status_updated_webhook.json") {
        let data: &RawValue = split_one(&body).unwrap();
        let data: std::collections::HashMap<String, &RawValue> =
            serde_json::from_str(data.get()).unwrap();
        let order = translate::order(data["order"]).unwrap();
        assert_eq!(order.status.unwrap().slug.as_deref(), Some("completed"));
        assert_eq!(order.created_at.raw, "2022-08-17 20:59:36.000000");
    }
}
