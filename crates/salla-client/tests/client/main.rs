//! The client against a small scripted server on a real socket.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop where a test would"
)]

mod budget;
mod connections;
mod customers;
mod damaged;
mod dates;
mod fake_salla;
mod memory;
mod presentations;
mod requests;
mod survey;
mod tokens;
mod unauthorised;
