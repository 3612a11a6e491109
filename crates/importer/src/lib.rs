//! The use cases of the import and the ports they need.
//!
//! This crate knows no vendor: neither Salla's JSON nor PostgreSQL. Read
//! [`import`] first: it is the story of a run. Its heart is [`passes`]: the header
//! pass that walks a shop's lists and the detail pass that completes its orders.

#![forbid(unsafe_code)]

pub mod catching_up;
mod claim;
pub mod clocks;
pub mod connect;
pub mod freshness;
pub mod import;
pub mod memory;
pub mod metrics;
pub mod notifications;
pub mod outlook;
pub mod passes;
pub mod planned;
mod portions;
pub mod ports;
pub mod probe;
pub mod progress;
mod recent;
pub mod repair;
pub mod start;
pub mod stop;
pub mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
pub mod verify;
pub mod worker;
