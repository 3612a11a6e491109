//! The views against what the simulator meant, with every oddity on. What they should say is
//! added up here from the simulator's own records.

use std::collections::{BTreeMap, BTreeSet};

use domain::certificate::Certificate;
use domain::numbers::with_digits;
use rust_decimal::{Decimal, RoundingStrategy};
use salla_simulator::{
    AppAge, Currency, CurrencyShare, CustomStatus, FloatDigits, Gaps, InvalidRates, ItemProduct,
    Original, Quirks, Repeats, Scenario, ShopSpec, TruthItem, TruthOrder,
};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow};

use crate::service::{TestService, completed};
use crate::truth::small;

const GAPS: Gaps = Gaps {
    slugs: 0.4,
    status_ids: 0.5,
    custom_slugs: true,
    totals: 0.03,
    rates: 0.3,
    products: 0.2,
    returns: 0.05,
};

/// A merchant who calls orders that were given back as Salla calls those that were delivered.
fn custom_statuses() -> Vec<CustomStatus> {
    vec![
        CustomStatus::new("وصل الطلب", Original::Completed),
        CustomStatus::new("ألغاه العميل", Original::Canceled),
        CustomStatus::new(Original::Delivered.arabic(), Original::Restored),
    ]
}

fn odd_shop(seed: u64, app_age: AppAge) -> Scenario {
    let scenario = small(400);
    let is_whole = app_age == AppAge::Expanded;
    Scenario {
        app_age,
        // A summary of an order whose details are rejected stays, and is not in the truth.
        invalid: InvalidRates {
            orders: if is_whole { 0.02 } else { 0.0 },
            customers: 0.02,
            products: 0.1,
        },
        quirks: Quirks {
            string_numbers: 0.2,
            arabic_digits: 0.5,
            empty_forms: 0.2,
            literal_null: 0.2,
            date_forms: 0.2,
            utc_labelled_dates: seed.is_multiple_of(2),
            float_digits: FloatDigits::Seventeen,
            ..Quirks::default()
        },
        item_product: if seed.is_multiple_of(3) {
            ItemProduct::IdOnly
        } else {
            ItemProduct::Nested
        },
        shop: ShopSpec {
            seed,
            currencies: vec![
                CurrencyShare::new(Currency::Aed, 0.1),
                CurrencyShare::new(Currency::Kwd, 0.1),
                CurrencyShare::new(Currency::Usd, 0.05),
            ],
            custom_statuses: custom_statuses(),
            repeats: Repeats {
                ids: 0.3,
                copies: 0.2,
            },
            long_skus: 2,
            gaps: GAPS,
            ..scenario.shop
        },
        ..scenario
    }
}

/// What the simulator knows of a shop, and what follows from it.
struct Meant {
    orders: Vec<TruthOrder>,
    /// Names that several statuses have which are not the same.
    ambiguous_names: BTreeSet<String>,
    names: BTreeMap<&'static str, String>,
    catalog: BTreeSet<i64>,
    /// SKUs under which a line of any order names its product.
    named_skus: BTreeSet<String>,
    names_products: bool,
}

impl Meant {
    fn of(service: &TestService, scenario: &Scenario, certificate: &Certificate) -> Self {
        let shop = service.simulator.shop();
        let range = certificate.range;
        let orders: Vec<TruthOrder> = shop.truth_orders(range.from, range.to).collect();
        let mut by_name: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for status in shop.truth_statuses() {
            by_name.entry(status.name).or_default().insert(status.slug);
        }
        let ambiguous = by_name.into_iter().filter(|(_, slugs)| slugs.len() > 1);
        let names_products = scenario.item_product != ItemProduct::Absent;
        let lines = orders.iter().flat_map(|order| &order.items);
        let named = lines.filter(|line| names_products && line.product_id.is_some());
        Self {
            ambiguous_names: ambiguous.map(|(name, _)| name).collect(),
            names: Original::ALL
                .into_iter()
                .map(|status| (status.slug(), status.arabic().to_owned()))
                .collect(),
            catalog: shop.truth_products().map(|product| product.id).collect(),
            named_skus: named.map(|line| line.sku.clone()).collect(),
            names_products,
            orders,
        }
    }

    /// Nothing in Salla's order says which status it means.
    fn is_unknown(&self, order: &TruthOrder) -> bool {
        let only_named =
            order.gaps.slug && order.gaps.status_id && order.custom_status_id.is_none();
        only_named
            && self
                .ambiguous_names
                .contains(&self.names[order.status_slug])
    }

    fn sales(&self) -> impl Iterator<Item = &TruthOrder> {
        const NO_SALES: [&str; 4] = ["canceled", "restored", "restoring", "payment_pending"];
        self.orders
            .iter()
            .filter(|order| self.is_unknown(order) || !NO_SALES.contains(&order.status_slug))
    }

    fn product_found_by(&self, line: &TruthItem) -> Option<&'static str> {
        if self.names_products && line.product_id.is_some() {
            Some("id")
        } else if self.catalog.contains(&line.sold_product_id) {
            Some("sku")
        } else if self.named_skus.contains(&line.sku) {
            Some("sku_of_other_lines")
        } else {
            None
        }
    }
}

fn total(order: &TruthOrder) -> Option<Decimal> {
    (!order.gaps.total).then_some(order.total)
}

/// In riyals, which is the currency of every simulated shop.
fn in_riyals(amount: Decimal, order: &TruthOrder) -> Option<Decimal> {
    let rate = match order.currency {
        "SAR" => return Some(amount),
        "KWD" => "0.0816",
        "AED" => "0.9792",
        "USD" => "0.266592",
        other => panic!("{other}"),
    };
    let rate: Decimal = rate.parse().expect("a rate is a number");
    let riyals = (amount / rate).round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    (!order.gaps.rate).then_some(riyals)
}

/// Adds up what there is; nothing where there is nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sum(Option<Decimal>);

impl Sum {
    fn add(&mut self, amount: Option<Decimal>) {
        if let Some(amount) = amount {
            self.0 = Some(self.0.unwrap_or_default() + amount);
        }
    }

    /// As the views show it.
    fn shown(self, currency: &str) -> String {
        self.0
            .map_or("-".to_owned(), |sum| with_digits(sum, currency).to_string())
    }
}

/// What every view says of a group of orders.
#[derive(Clone, Copy, Default)]
struct Group {
    orders: i64,
    total: Sum,
    riyals: Sum,
    converted: i64,
    subtotal: Sum,
    tax: Sum,
    without_total: i64,
    not_converted: i64,
    unknown: i64,
}

impl Group {
    fn add(&mut self, order: &TruthOrder, meant: &Meant) {
        let riyals = total(order).and_then(|total| in_riyals(total, order));
        self.orders += 1;
        self.total.add(total(order));
        self.riyals.add(riyals);
        self.converted += i64::from(riyals.is_some());
        self.subtotal.add(in_riyals(order.sub_total, order));
        self.tax.add(in_riyals(order.tax, order));
        self.without_total += i64::from(order.gaps.total);
        self.not_converted += i64::from(!order.gaps.total && riyals.is_none());
        self.unknown += i64::from(meant.is_unknown(order));
    }

    fn counts(&self) -> String {
        let Self {
            orders,
            without_total,
            not_converted,
            unknown,
            ..
        } = self;
        format!("{orders} orders, {without_total} {not_converted} {unknown}")
    }
}

fn grouped<K: Ord>(meant: &Meant, key: impl Fn(&TruthOrder) -> Option<K>) -> BTreeMap<K, Group> {
    let mut groups: BTreeMap<K, Group> = BTreeMap::new();
    for order in meant.sales() {
        if let Some(key) = key(order) {
            groups.entry(key).or_default().add(order, meant);
        }
    }
    groups
}

async fn all<T>(service: &TestService, sql: &str) -> Vec<T>
where
    T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    let query = sqlx::query_as(AssertSqlSafe(sql.to_owned()));
    let rows = query.fetch_all(service.open.database.pool()).await;
    rows.expect("the view can be read")
}

/// The lines of a query of one column.
async fn lines(service: &TestService, sql: &str) -> Vec<String> {
    let rows: Vec<(String,)> = all(service, sql).await;
    rows.into_iter().map(|(line,)| line).collect()
}

const COUNTS: &str = "format('%s orders, %s %s %s', orders, orders_without_total,
    orders_not_converted, orders_of_unknown_status)";

async fn days_agree(service: &TestService, meant: &Meant) {
    let expected: Vec<String> = grouped(meant, |order| Some(order.riyadh_date))
        .into_iter()
        .map(|(day, group)| {
            let [total, subtotal, tax] =
                [group.riyals, group.subtotal, group.tax].map(|sum| sum.shown("SAR"));
            format!("{day} SAR {} {total} {subtotal} {tax}", group.counts())
        })
        .collect();
    let sql = format!(
        "SELECT format('%s %s %s %s %s %s', riyadh_date, currency, {COUNTS},
                coalesce(gross_total::text, '-'), coalesce(subtotal::text, '-'),
                coalesce(tax::text, '-'))
         FROM salla.daily_sales ORDER BY riyadh_date"
    );
    assert_eq!(lines(service, &sql).await, expected);
}

async fn currencies_agree(service: &TestService, meant: &Meant) {
    let by_currency = grouped(meant, |order| Some((order.riyadh_date, order.currency)));
    let expected: Vec<String> = by_currency
        .into_iter()
        .map(|((day, currency), group)| {
            let (total, riyals) = (group.total.shown(currency), group.riyals.shown("SAR"));
            format!("{day} {currency} {} {total} {riyals}", group.counts())
        })
        .collect();
    let sql = format!(
        "SELECT format('%s %s %s %s %s', riyadh_date, currency, {COUNTS},
                coalesce(gross_total::text, '-'),
                coalesce(gross_total_in_shop_currency::text, '-'))
         FROM salla.daily_sales_by_currency ORDER BY riyadh_date, currency"
    );
    assert_eq!(lines(service, &sql).await, expected);
}

async fn customers_agree(service: &TestService, meant: &Meant) {
    let expected: Vec<String> = grouped(meant, |order| order.customer_id)
        .into_iter()
        .map(|(customer, group)| {
            let average = group.riyals.0.map(|sum| {
                let average = sum / Decimal::from(group.converted);
                average.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
            });
            let (total, average) = (group.riyals.shown("SAR"), Sum(average).shown("SAR"));
            format!("{customer} {} {total} {average}", group.counts())
        })
        .collect();
    let sql = format!(
        "SELECT format('%s %s %s %s', customer_id, {COUNTS}, coalesce(total::text, '-'),
                coalesce(average_total::text, '-'))
         FROM salla.customer_orders ORDER BY customer_id"
    );
    assert_eq!(lines(service, &sql).await, expected);
}

#[derive(Default)]
struct SoldProduct {
    orders: BTreeSet<i64>,
    found_by: BTreeSet<&'static str>,
    quantity: i64,
    returned: i64,
    total: Sum,
    not_converted: i64,
}

async fn products_agree(service: &TestService, meant: &Meant) {
    let mut sold: BTreeMap<String, SoldProduct> = BTreeMap::new();
    for order in meant.sales() {
        for line in &order.items {
            let found_by = meant.product_found_by(line);
            let key = match found_by {
                Some(_) => line.sold_product_id.to_string(),
                None => line.sku.clone(),
            };
            let product = sold.entry(key).or_default();
            let riyals = in_riyals(line.total, order);
            product.orders.insert(order.id);
            product.found_by.extend(found_by);
            product.quantity += line.quantity;
            product.returned += (-line.quantity).max(0);
            // Money goes back with the pieces, whichever sign Salla gives it.
            product.total.add(match line.quantity < 0 {
                true => riyals.map(|sum| -sum.abs()),
                false => riyals,
            });
            product.not_converted += i64::from(riyals.is_none());
        }
    }
    let expected: BTreeSet<String> = sold
        .into_iter()
        .map(|(key, product)| {
            let found_by: Vec<&str> = product.found_by.into_iter().collect();
            format!(
                "{key} by {}: {} orders, {} pieces, {} returned, {}, {}",
                found_by.join(", "),
                product.orders.len(),
                product.quantity,
                product.returned,
                product.total.shown("SAR"),
                product.not_converted
            )
        })
        .collect();
    let rows = lines(
        service,
        "SELECT format('%s by %s: %s orders, %s pieces, %s returned, %s, %s',
                coalesce(product_id::text, sku), product_found_by, orders, trim_scale(quantity),
                trim_scale(returned_quantity), coalesce(total::text, '-'), lines_not_converted)
         FROM salla.product_sales",
    )
    .await;
    assert_eq!(rows.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(rows.len(), expected.len(), "each product once");
    let without: Vec<(i64,)> = all(
        service,
        "SELECT count(*) FROM salla.product_sales WHERE sku IS NULL",
    )
    .await;
    assert_eq!(without, [(0,)], "every product shows a SKU");
}

/// The certificate's sums are those of the table, to the last digit.
async fn months_agree(service: &TestService, certificate: &Certificate) {
    let certified = certificate.month_totals.iter().map(|month| {
        let without = month.without_total;
        format!(
            "{} {} {} {without}",
            month.month, month.currency, month.total
        )
    });
    let held = lines(
        service,
        "SELECT format('%s %s %s %s', date_trunc('month', riyadh_date)::date, currency,
                salla.with_digits(coalesce(sum(total), 0), currency),
                count(*) FILTER (WHERE total IS NULL))
         FROM salla.orders
         WHERE id NOT IN (SELECT salla_id FROM salla_sync.rejected_records
                          WHERE resource = 'orders' AND salla_id IS NOT NULL)
         GROUP BY date_trunc('month', riyadh_date), currency ORDER BY 1",
    )
    .await;
    assert_eq!(certified.collect::<Vec<_>>(), held);
}

async fn views_agree(scenario: Scenario) {
    let mut service = TestService::start(scenario.clone()).await;
    // Longer than the shop is old, so that no order lies outside.
    service.options.months = 24;
    let (_, outcome) = service.import().await;
    let certificate = completed(outcome);
    let meant = Meant::of(&service, &scenario, &certificate);
    let told = format!("seed {}, {:?}", scenario.shop.seed, scenario.app_age);
    let unknown = meant
        .sales()
        .filter(|order| meant.is_unknown(order))
        .count();
    assert!(unknown > 0, "{told}: no order's status is unknown");
    days_agree(&service, &meant).await;
    currencies_agree(&service, &meant).await;
    customers_agree(&service, &meant).await;
    products_agree(&service, &meant).await;
    months_agree(&service, &certificate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_says_what_was_meant_where_lists_give_whole_orders() {
    for seed in [1, 2, 3] {
        views_agree(odd_shop(seed, AppAge::Expanded)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_says_what_was_meant_where_details_are_full() {
    for seed in [4, 5, 6] {
        views_agree(odd_shop(seed, AppAge::FullDetails)).await;
    }
}

/// What every app gets today: two requests for each order, and no item names its product.
#[tokio::test(flavor = "multi_thread")]
async fn every_view_says_what_was_meant_where_details_are_light() {
    for seed in [7, 8, 9] {
        let scenario = odd_shop(seed, AppAge::LightDetails);
        views_agree(Scenario {
            item_product: ItemProduct::Absent,
            ..scenario
        })
        .await;
    }
}
