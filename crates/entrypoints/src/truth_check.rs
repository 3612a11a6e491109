//! Compares what an import left in the database with what the simulator knows to be
//! true: every row of every table, and the certificate. Used by the demo and by the
//! tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use domain::certificate::Certificate;
use domain::resource::Resource;
use domain::shop::MerchantId;
use domain::window::DayRange;
use rust_decimal::Decimal;
use salla_simulator::{InvalidKind, ShopView};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

/// More than this many differences of one kind are only counted.
const SHOWN: usize = 5;

/// Rows by key, each as one line of text that says everything worth comparing.
type Rows = BTreeMap<String, String>;

/// What differs, in sentences; empty when nothing does.
pub async fn differences(
    pool: &PgPool,
    merchant: MerchantId,
    certificate: &Certificate,
    truth: &ShopView,
) -> anyhow::Result<Vec<String>> {
    let range = certificate.range;
    let mut found = rows(pool, merchant, truth, range).await?;
    found.extend(certificate_differences(certificate, truth));
    Ok(found)
}

/// The same without a certificate: for imports that were cut off.
pub async fn rows(
    pool: &PgPool,
    merchant: MerchantId,
    truth: &ShopView,
    range: DayRange,
) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let (orders, items) = true_orders(truth, range);
    let mut stored_orders = ORDERS.read(pool, merchant, Some(range)).await?;
    for id in headers_without_detail(pool, merchant).await? {
        stored_orders.remove(&id.to_string());
    }
    compare(&mut found, ORDERS.what, &orders, &stored_orders);
    let stored_items = ITEMS.read(pool, merchant, Some(range)).await?;
    compare(&mut found, ITEMS.what, &items, &stored_items);
    let mut customers = CUSTOMERS.read(pool, merchant, None).await?;
    // A customer whose own record was rejected may still be known from an order;
    // such rows are right, but the truth does not list them.
    for rejected in truth.truth(range.from, range.to).rejections {
        if rejected.resource == salla_simulator::Resource::Customers {
            customers.remove(&rejected.id.to_string());
        }
    }
    let listed = true_customers(truth);
    // One whom Salla no longer lists is kept while an order refers to them, even one of the day
    // before, of which windows and the list of changes show some.
    let of_orders = truth.truth_orders(range.from, range.to);
    let mut behind_orders: Vec<i64> = of_orders.filter_map(|order| order.customer_id).collect();
    behind_orders.extend(customers_of_other_days(pool, merchant, range).await?);
    for id in behind_orders.iter().map(i64::to_string) {
        if !listed.contains_key(&id) {
            customers.remove(&id);
        }
    }
    compare(&mut found, CUSTOMERS.what, &listed, &customers);
    let (products, variants) = true_products(truth);
    for (kind, expected) in [
        (PRODUCTS, products),
        (VARIANTS, variants),
        (CATEGORIES, true_categories(truth)),
        (STATUSES, true_statuses(truth)),
    ] {
        let stored = kind.read(pool, merchant, None).await?;
        compare(&mut found, kind.what, &expected, &stored);
    }
    rejections(&mut found, pool, merchant, truth, range).await?;
    Ok(found)
}

fn compare(found: &mut Vec<String>, what: &str, truth: &Rows, stored: &Rows) {
    let mut all = Vec::new();
    for (key, expected) in truth {
        match stored.get(key) {
            None => all.push(format!("{what} {key} is missing")),
            Some(got) if got != expected => {
                all.push(format!(
                    "{what} {key} is [{got}] and should be [{expected}]"
                ));
            }
            Some(_) => {}
        }
    }
    for key in stored.keys().filter(|key| !truth.contains_key(*key)) {
        all.push(format!("{what} {key} should not be there"));
    }
    let more = all.len().saturating_sub(SHOWN);
    found.extend(all.into_iter().take(SHOWN));
    if more > 0 {
        found.push(format!("… and {more} more differences of {what}s"));
    }
}

/// `7.50` and `7.5` are the same amount.
fn number(value: Decimal) -> String {
    value.normalize().to_string()
}

fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

fn true_orders(truth: &ShopView, range: DayRange) -> (Rows, Rows) {
    let (mut orders, mut items) = (Rows::new(), Rows::new());
    for o in truth.truth_orders(range.from, range.to) {
        let amounts = [
            o.sub_total,
            o.shipping,
            o.cash_on_delivery,
            o.discount,
            o.tax_percent,
            o.tax,
            o.total,
        ];
        let line = format!(
            "{} {} {} {} {} {} {} {} {}",
            o.reference_id,
            o.created_at,
            o.riyadh_date,
            o.status_slug,
            optional(o.custom_status_id),
            o.payment_method,
            optional(o.customer_id),
            o.currency,
            amounts.map(number).join(" ")
        );
        orders.insert(o.id.to_string(), line);
        for (place, i) in (1..).zip(&o.items) {
            let amounts = [
                Decimal::from(i.quantity),
                i.unit_price,
                i.discount,
                i.tax,
                i.total,
            ];
            let line = format!(
                "{} {} {} {} {}",
                i.id,
                optional(i.product_id),
                i.sku,
                i.name,
                amounts.map(number).join(" ")
            );
            items.insert(format!("{}/{place}", o.id), line);
        }
    }
    (orders, items)
}

/// What is stored of one kind of record, as SQL: a key, and what makes the line of a row.
struct Stored {
    what: &'static str,
    key: &'static str,
    values: &'static [&'static str],
    /// The table and its condition.
    rows: &'static str,
}

const ORDERS: Stored = Stored {
    what: "order",
    key: "id",
    values: &[
        "reference_id",
        "extract(epoch FROM created_at)::bigint",
        "riyadh_date",
        "status_slug",
        "custom_status_id",
        "payment_method",
        "customer_id",
        "currency",
        "trim_scale(subtotal)",
        "trim_scale(shipping)",
        "trim_scale(cash_on_delivery)",
        "trim_scale(discount)",
        "trim_scale(tax_percent)",
        "trim_scale(tax_amount)",
        "trim_scale(total)",
    ],
    rows: "salla.orders WHERE merchant_id = $1 AND riyadh_date BETWEEN $2::date AND $3::date",
};

const ITEMS: Stored = Stored {
    what: "order item",
    key: "i.order_id || '/' || i.position",
    values: &[
        "i.id",
        "i.product_id",
        "i.sku",
        "i.name",
        "trim_scale(i.quantity)",
        "trim_scale(i.unit_price)",
        "trim_scale(i.discount)",
        "trim_scale(i.tax_amount)",
        "trim_scale(i.total)",
    ],
    rows: "salla.order_items i
           JOIN salla.orders o ON o.merchant_id = i.merchant_id AND o.id = i.order_id
           WHERE i.merchant_id = $1 AND o.riyadh_date BETWEEN $2::date AND $3::date",
};

const PRODUCTS: Stored = Stored {
    what: "product",
    key: "id",
    values: &[
        "sku",
        "name",
        "kind",
        "status",
        "trim_scale(price)",
        "CASE WHEN unlimited_quantity THEN 'unlimited' ELSE trim_scale(quantity)::text END",
        "(SELECT '[' || coalesce(string_agg(c.category_id::text, ', ' ORDER BY c.position), '') || ']'
          FROM salla.product_categories c
          WHERE c.merchant_id = p.merchant_id AND c.product_id = p.id)",
    ],
    rows: "salla.products p WHERE merchant_id = $1",
};

const VARIANTS: Stored = Stored {
    what: "variant",
    key: "product_id || '/' || position",
    values: &[
        "id",
        "sku",
        "trim_scale(price)",
        "trim_scale(stock_quantity)",
    ],
    rows: "salla.product_variants WHERE merchant_id = $1",
};

const CUSTOMERS: Stored = Stored {
    what: "customer",
    key: "id",
    values: &["first_name", "last_name", "mobile", "email"],
    rows: "salla.customers WHERE merchant_id = $1",
};

const CATEGORIES: Stored = Stored {
    what: "category",
    key: "id",
    values: &["name", "parent_id", "status"],
    rows: "salla.categories WHERE merchant_id = $1",
};

const STATUSES: Stored = Stored {
    what: "status",
    key: "id",
    values: &["name", "slug"],
    rows: "salla.order_statuses WHERE merchant_id = $1",
};

impl Stored {
    /// A value that is null is `-`.
    async fn read(
        &self,
        pool: &PgPool,
        merchant: MerchantId,
        range: Option<DayRange>,
    ) -> anyhow::Result<Rows> {
        let values = self.values.iter();
        let values: Vec<String> = values
            .map(|value| format!("coalesce(({value})::text, '-')"))
            .collect();
        let (key, values, rows) = (self.key, values.join(", "), self.rows);
        let sql = format!("SELECT ({key})::text, concat_ws(' ', {values}) FROM {rows}");
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(merchant.0);
        if let Some(range) = range {
            let (from, to) = (range.from.to_string(), range.to.to_string());
            query = query.bind(from).bind(to);
        }
        let rows: Vec<(String, String)> = query.fetch_all(pool).await?;
        Ok(rows.into_iter().collect())
    }
}

/// An order whose detail was rejected keeps its summary; the truth counts it as
/// rejected.
async fn headers_without_detail(pool: &PgPool, merchant: MerchantId) -> anyhow::Result<Vec<i64>> {
    let ids = sqlx::query_scalar(
        "SELECT o.id FROM salla.orders o
          WHERE o.merchant_id = $1 AND NOT o.has_items
            AND EXISTS (SELECT FROM salla_sync.rejected_records r
                 WHERE r.merchant_id = o.merchant_id AND r.salla_id = o.id
                   AND r.resource = 'orders' AND r.resolved_at IS NULL)",
    );
    Ok(ids.bind(merchant.0).fetch_all(pool).await?)
}

fn true_products(truth: &ShopView) -> (Rows, Rows) {
    let (mut products, mut variants) = (Rows::new(), Rows::new());
    for p in truth.truth_products() {
        let line = format!(
            "{} {} {} {} {} {} {:?}",
            p.sku,
            p.name,
            p.kind,
            p.status,
            number(p.price),
            p.quantity
                .map_or_else(|| "unlimited".to_owned(), |q| q.to_string()),
            p.category_ids
        );
        products.insert(p.id.to_string(), line);
        for (place, v) in (1..).zip(&p.variants) {
            let line = format!("{} {} {} {}", v.id, v.sku, number(v.price), v.stock);
            variants.insert(format!("{}/{place}", p.id), line);
        }
    }
    (products, variants)
}

fn true_customers(truth: &ShopView) -> Rows {
    truth
        .truth_customers()
        .map(|c| {
            let line = format!("{} {} {} {}", c.first_name, c.last_name, c.mobile, c.email);
            (c.id.to_string(), line)
        })
        .collect()
}

/// Customers of orders that lie outside of `range`.
async fn customers_of_other_days(
    pool: &PgPool,
    merchant: MerchantId,
    range: DayRange,
) -> anyhow::Result<Vec<i64>> {
    let ids = sqlx::query_scalar(
        "SELECT DISTINCT customer_id FROM salla.orders
         WHERE merchant_id = $1 AND customer_id IS NOT NULL
           AND riyadh_date NOT BETWEEN $2::date AND $3::date",
    )
    .bind(merchant.0)
    .bind(range.from.to_string())
    .bind(range.to.to_string())
    .fetch_all(pool)
    .await?;
    Ok(ids)
}

fn true_categories(truth: &ShopView) -> Rows {
    truth
        .truth_categories()
        .map(|c| {
            let line = format!("{} {} {}", c.name, optional(c.parent_id), c.status);
            (c.id.to_string(), line)
        })
        .collect()
}

fn true_statuses(truth: &ShopView) -> Rows {
    truth
        .truth_statuses()
        .map(|s| (s.id.to_string(), format!("{} {}", s.name, s.slug)))
        .collect()
}

/// As many records of each resource are rejected as are broken, and those whose id
/// can be read are the right ones.
async fn rejections(
    found: &mut Vec<String>,
    pool: &PgPool,
    merchant: MerchantId,
    truth: &ShopView,
    range: DayRange,
) -> anyhow::Result<()> {
    let true_rejections = truth.truth(range.from, range.to).rejections;
    let rows = sqlx::query(
        "SELECT resource::text AS resource, salla_id FROM salla_sync.rejected_records
          WHERE merchant_id = $1 AND resolved_at IS NULL",
    )
    .bind(merchant.0)
    .fetch_all(pool)
    .await?;
    for (resource, name) in [
        (salla_simulator::Resource::Orders, "orders"),
        (salla_simulator::Resource::Customers, "customers"),
        (salla_simulator::Resource::Products, "products"),
    ] {
        let expected: BTreeSet<i64> = true_rejections
            .iter()
            .filter(|r| r.resource == resource)
            .map(|r| r.id)
            .collect();
        let stored: Vec<Option<i64>> = rows
            .iter()
            .filter(|row| row.get::<String, _>("resource") == name)
            .map(|row| row.get("salla_id"))
            .collect();
        // The planned overlap reads a day before the window as well, whose broken
        // records are rejected too.
        let from = range.widened(domain::window::Overlap::EXCLUSIVE).from;
        let wider = truth.truth(from, range.to).rejections;
        let in_overlap = wider.iter().filter(|r| r.resource == resource).count();
        // What is no object has no id and is always the same text, and a record without an
        // id is known by its text: however often it comes, it is rejected once.
        let no_objects = true_rejections
            .iter()
            .filter(|r| r.resource == resource && r.kind == InvalidKind::NotAnObject)
            .count();
        let least = expected.len() - no_objects.saturating_sub(1);
        if stored.len() < least || stored.len() > in_overlap {
            found.push(format!(
                "{} {name} were rejected and should be {}",
                stored.len(),
                expected.len()
            ));
        }
        let possible: BTreeSet<i64> = wider.iter().map(|r| r.id).collect();
        for id in stored.into_iter().flatten() {
            if !possible.contains(&id) {
                found.push(format!("{name} {id} was rejected although it is valid"));
            }
        }
    }
    Ok(())
}

fn certificate_differences(certificate: &Certificate, truth: &ShopView) -> Vec<String> {
    let mut found = Vec::new();
    let truth = truth.truth(certificate.range.from, certificate.range.to);
    let mut months = Rows::new();
    for (month, currencies) in &truth.months {
        for (currency, total) in currencies {
            let line = format!("{} orders, {}", total.orders, number(total.total));
            months.insert(format!("{month} {currency}"), line);
        }
    }
    let certified = certificate
        .month_totals
        .iter()
        .map(|m| {
            let key = format!("{} {}", m.month.strftime("%Y-%m"), m.currency);
            (key, format!("{} orders, {}", m.orders, number(m.total)))
        })
        .collect();
    compare(&mut found, "certified month", &months, &certified);
    let counts = [
        (Resource::Customers, truth.customers),
        (Resource::Products, truth.products),
        (Resource::OrderStatuses, truth.statuses),
    ];
    for (resource, expected) in counts {
        let loaded = certificate.summary(resource).loaded;
        if loaded != expected {
            found.push(format!(
                "the certificate says {loaded} {resource} instead of {expected}"
            ));
        }
    }
    found
}
