//! The engine against ports in memory: what it decides, without Salla, PostgreSQL or
//! real time.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue must fail immediately"
)]

mod catalogue;
mod catching_up;
mod changes;
mod customers;
mod details;
mod doubt;
mod memory_store;
mod moving;
mod proof;
mod scenarios;
mod scripted_platform;
mod slices;
