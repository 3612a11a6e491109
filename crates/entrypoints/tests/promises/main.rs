//! Promises that only a test can keep. docs/threat-model.md lists them, each with the tests
//! that keep it; those that belong to no other suite are here.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which the lint knows only by their attribute"
)]

mod children;
mod crash;
mod list;
mod server;
mod server_log;
#[path = "../support/mod.rs"]
mod support;
