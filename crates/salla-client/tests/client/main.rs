//! The client against a small scripted server on a real socket.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop where a test would"
)]

mod connections;
mod customers;
mod damaged;
mod dates;
mod fake_salla;
mod memory_limit;
mod presentations;
mod probe;
mod rate_limiter;
mod refusals;
mod requests;
mod tokens;
mod unauthorised;
mod unserved;
