//! The engine against ports in memory: what it decides, without Salla, PostgreSQL or
//! real time.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod catalogue;
mod catching_up;
mod ceiling;
mod changes;
mod customers;
mod memory;
mod moving;
mod proof;
mod scripted;
mod stories;
