//! The simulator from outside, over HTTP, as a client would see it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue must fail immediately, helpers included"
)]

mod changes;
mod client;
mod drift;
mod faults;
mod filters;
mod ledger;
mod limits;
mod list_faults;
mod lists;
mod oddities;
mod outages;
mod reader;
mod tokens;
mod truth;
mod webhooks;
