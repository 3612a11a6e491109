//! What a simulated shop is made of. Two equal specs are the same shop, to the
//! last letter.

use super::money::Currency;
use super::statuses::Original;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

with_defaults! {
    /// The recipe of a shop.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct ShopSpec {
        pub seed: u64 = 1,
        pub name: String = "متجر النخلة".to_owned(),
        pub orders: u64 = 1_000,
        pub customers: u64 = 300,
        pub products: u64 = 120,
        pub categories: u64 = 12,
        /// The orders are spread over this many months before `now`.
        pub months: u32 = 24,
        /// One day on which far more is ordered than on any other.
        pub busy_day: Option<BusyDay>,
        /// The moment at which the lists are frozen.
        pub now: Timestamp = DEFAULT_NOW,
        pub plan: Plan = Plan::Pro,
        /// The share of orders in each foreign currency; the rest is in riyals.
        pub currencies: Vec<CurrencyShare> = vec![
            CurrencyShare::new(Currency::Aed, 0.05),
            CurrencyShare::new(Currency::Kwd, 0.04),
            CurrencyShare::new(Currency::Usd, 0.02),
        ],
        /// The share of items in the older half of the orders whose product has
        /// been deleted since: they carry `product: null`, and no list shows it.
        pub deleted_products_share: f64 = 0.06,
        /// The share of orders without a customer.
        pub guests_share: f64 = 0.02,
        pub custom_statuses: Vec<CustomStatus> = vec![
            CustomStatus::new("طلبك قيد التجهيز", Original::InProgress),
            CustomStatus::new("طلبك بيوصلك قريب", Original::Delivering),
            CustomStatus::new("وصل الطلب", Original::Completed),
        ],
        /// The share of products that are in no category.
        pub uncategorised_share: f64,
        /// This many products, the oldest, have a SKU of 4,000 random characters, and so have
        /// the order items that name them.
        pub long_skus: u64,
        pub repeats: Repeats,
        pub gaps: Gaps,
    }
}

/// Entries that come more than once in a list inside a record: an order's items, a
/// product's variants and categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Repeats {
    /// The share of records whose second item or variant has the id of the first, and
    /// nothing else of it.
    pub ids: f64,
    /// The share of records whose last item or first category comes twice, the same to
    /// the last letter.
    pub copies: f64,
}

/// What orders leave unsaid or say the other way round, as shares. What was meant can be
/// learned elsewhere, or is known to be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gaps {
    /// Orders whose status has no slug.
    pub slugs: f64,
    /// Of those, the ones whose status has no id either.
    pub status_ids: f64,
    /// The shop's own statuses are listed without a slug.
    pub custom_slugs: bool,
    /// Orders whose total is null.
    pub totals: f64,
    /// Orders in a foreign currency without an exchange rate.
    pub rates: f64,
    /// Items that do not name their product although the shop has it.
    pub products: f64,
    /// Items with a negative quantity.
    pub returns: f64,
}

/// 2025-06-15, noon in Riyadh.
pub const DEFAULT_NOW: Timestamp = Timestamp::constant(1_749_978_000, 0);

/// A day with at least this many of the shop's orders, the day's usual share
/// coming on top; the other days have the rest. A day before the first month
/// counts as the first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusyDay {
    /// Riyadh days before the day of `now`.
    pub days_ago: u32,
    pub orders: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrencyShare {
    pub currency: Currency,
    pub share: f64,
}

impl CurrencyShare {
    pub fn new(currency: Currency, share: f64) -> Self {
        Self { currency, share }
    }
}

/// A status that the merchant has named for himself (docs.salla.dev, List
/// Order Statuses): an own id and name, and the slug of the original.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomStatus {
    pub name: String,
    pub original: Original,
}

impl CustomStatus {
    pub fn new(name: &str, original: Original) -> Self {
        Self {
            name: name.to_owned(),
            original,
        }
    }
}

/// The plan of a shop decides its request budget (docs.salla.dev/421125m0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    Basic,
    Plus,
    Pro,
    Special,
    /// Not a plan of Salla's: for measuring everything but the waiting.
    Unlimited,
}

impl Plan {
    /// The word in `store/info`, which knows no unlimited plan.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Plus => "plus",
            Self::Pro => "pro",
            Self::Special | Self::Unlimited => "special",
        }
    }
}
