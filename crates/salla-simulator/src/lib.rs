//! A Salla that runs on this machine.
//!
//! It generates a shop from a seed, serves it through Salla's Merchant API and accounts host with
//! their limits, oddities and failures, and knows the truth that a correct import must arrive at.
//! Tests start it in-process:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! use salla_simulator::{Scenario, ShopSpec, Simulator};
//!
//! let sim = Simulator::start(Scenario {
//!     shop: ShopSpec { orders: 10_000, ..Default::default() },
//!     ..Default::default()
//! })
//! .await?;
//! println!("{} {}", sim.api_url(), sim.access_token());
//! assert_eq!(sim.ledger().requests, 0);
//! # Ok(())
//! # }
//! ```
//!
//! A request goes through these modules: `server` reads it from the socket, `exchange` admits it
//! (`accounts`, `limits`) and applies faults (`scenario`, `outages`), `api` produces the response,
//! `json` writes the records that `shop` computes, and `drift_step` lets the shop change before the next
//! request. `ledger` counts; `truth` says what an import should have produced.
//!
//! It must never share a type with the client that it tests: one misreading of Salla would then be
//! made twice, and every test would pass. It is built from public documentation alone
//! (`docs/salla-api.md`), stores no record, and knows no real time outside of `clock`.

#![forbid(unsafe_code)]

/// A struct that scenarios hold, with its defaults beside its fields; a field that names none
/// has its type's.
macro_rules! with_defaults {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$doc:meta])* pub $field:ident: $type:ty $(= $default:expr)?,)*
    }) => {
        $(#[$meta])*
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: with_defaults!(@default $type $(, $default)?),)* }
            }
        }
    };
    (@default $type:ty) => { <$type>::default() };
    (@default $type:ty, $default:expr) => { $default };
}

mod accounts;
mod api;
mod clock;
mod control;
mod dashboard;
mod drift;
mod drift_step;
mod endpoint;
mod exchange;
mod json;
mod ledger;
mod limits;
mod mail;
mod outages;
mod platform;
mod scenario;
mod server;
mod shop;
mod shop_handle;
mod simulated_shop;
mod simulator;
mod truth;
mod webhooks;

pub use clock::{SimClock, present};
pub use drift::{DriftEvent, DriftKind};
pub use endpoint::{Endpoint, Resource};
pub use ledger::LedgerReport;
pub use mail::{Mail, MailReply, MailServer, MailStage};
pub use scenario::{
    AppAge, Block, Ceiling, CeilingBehavior, ClockSpec, Consent, CustomerDates, CustomersLimit,
    DateFilter, Drift, DriftCounts, Embedded, EmptyLinks, EndlessPages, Fault, FaultRates, Filling,
    FilterZone, FloatDigits, ItemLoss, ItemProduct, Latency, LifetimeField, LimiterKind, Limits,
    ListBehavior, Lists, LongRecords, Oauth, Outage, OutageLength, PlanLimits, ProductFilters,
    Quirks, ResourceDrift, RetryAfter, Scenario, ShopState, TextDamage, ThrottleBody,
};
pub use shop::invalid::{InvalidKind, InvalidRates};
pub use shop::{
    BusyDay, Currency, CurrencyShare, CustomStatus, DEFAULT_NOW, Gaps, Original, Plan, Repeats,
    ShopSpec,
};
pub use shop_handle::ShopHandle;
pub use simulator::Simulator;
pub use truth::{
    MonthTotal, ShopView, Truth, TruthCategory, TruthCustomer, TruthGaps, TruthItem, TruthOrder,
    TruthProduct, TruthRejection, TruthStatus, TruthVariant,
};

pub use webhooks::{Delivery, Disorder, Strategy, Webhook, WebhookTarget};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic in one request must not make the whole simulator useless: what the
/// locks guard is counters and caches, which stay readable.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
