//! What a request waits for before it is sent.

mod concurrency;
mod fair_queue;
mod rate_limiter;
mod shared_budget;

pub use concurrency::{Concurrency, ConcurrencyLimit, Slot};
pub use rate_limiter::{Budget, BudgetCounters, Permit};
