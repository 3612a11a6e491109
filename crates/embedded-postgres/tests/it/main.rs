//! Everything here runs a real PostgreSQL: the newest one found, or the one in
//! the folder that `PG_BIN` names.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which the lint knows only by their attribute"
)]

mod children;
mod client;
mod crash;
mod helper;
mod lifecycle;
mod refusals;
mod script;
mod shared;
