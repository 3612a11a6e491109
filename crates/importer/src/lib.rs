//! The use cases of the import, and the ports that they need.
//!
//! This crate knows no vendor: neither Salla's JSON nor PostgreSQL. Adapters implement its
//! [`ports`]; each port says in prose what may be repeated, run in parallel or be lost.
//!
//! - [`import`] runs an import from the claim to the certificate. Read it first, then
//!   [`passes`], which scans a shop's lists and fetches the details of its orders.
//! - [`worker`] takes jobs from a queue and runs imports in the background.
//! - [`connect`] and [`start`] take a shop from its tokens to its first run.
//! - [`catching_up`] and [`freshness`] bring imported shops up to date.
//! - [`verify`], [`trace`] and [`repair`] inspect what was imported, and read it again.
//!
//! Whoever implements a port runs its contract suite from `testing` (a feature of this crate).
//!
//! An import needs an [`Importer`](import::Importer), which holds the adapters, and a signal that
//! stops it:
//!
//! ```
//! use domain::failure::Failure;
//! use domain::shop::ShopInfo;
//! use importer::import::{Importer, Outcome, import};
//! use importer::ports::runs::RunOptions;
//! use importer::stop::stop_pair;
//!
//! async fn run(importer: &Importer, shop: &ShopInfo, options: &RunOptions) -> Result<(), Failure> {
//!     let (_handle, stop) = stop_pair();
//!     match import(importer, shop, options, false, &(), stop).await? {
//!         Outcome::Completed(_certificate) => Ok(()),
//!         Outcome::Failed { failure, .. } | Outcome::Interrupted(failure) => Err(failure),
//!         Outcome::Halted(_) | Outcome::Taken(_) => Err(Failure::LeaseLost),
//!     }
//! }
//! ```

#![forbid(unsafe_code)]

pub mod catching_up;
pub mod changed_records;
mod claim;
pub mod claims;
pub mod clocks;
pub mod connect;
pub mod forgetting;
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
pub mod relay;
pub mod repair;
pub mod retention;
pub mod sessions;
pub mod start;
pub mod stop;
pub mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
pub mod upkeep;
pub mod verify;
pub mod worker;
