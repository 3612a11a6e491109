//! The use cases of the import, and the ports that they need.
//!
//! This crate knows no vendor: neither Salla's JSON nor PostgreSQL. Adapters implement its
//! [`ports`]; each port says in prose what may be repeated, run in parallel or be lost.
//!
//! - [`import`] runs an import from the claim to the certificate. Its modules scan a shop's lists
//!   and fetch the details of its orders; read `sequence` first, then `scan`.
//! - [`worker`] takes jobs from a queue and runs imports in the background.
//! - [`connect`] and [`start`] take a shop from its tokens to its first run.
//! - [`freshness`] brings imported shops up to date.
//! - [`verify`], [`trace`] and [`reprocess`] inspect what was imported, and read it again.
//!
//! Every implementation of a port runs its contract suite from `testing` (a feature of this crate).
//!
//! An import needs an [`Importer`](import::Importer), which holds the adapters, and a signal that
//! stops it:
//!
//! ```
//! use domain::failure::Failure;
//! use domain::shop::ShopInfo;
//! use importer::import::{ImportOutcome, Importer, Reading, import};
//! use importer::ports::runs::RunOptions;
//! use importer::stop::stop_pair;
//!
//! async fn run(importer: &Importer, shop: &ShopInfo, options: &RunOptions) -> Result<(), Failure> {
//!     let (_handle, stop) = stop_pair();
//!     match import(importer, shop, options, Reading::Changes, &(), stop).await? {
//!         ImportOutcome::Completed(_certificate) => Ok(()),
//!         ImportOutcome::Failed { failure, .. } | ImportOutcome::Interrupted(failure) => Err(failure),
//!         ImportOutcome::Halted(_) | ImportOutcome::Taken(_) => Err(Failure::LeaseLost),
//!     }
//! }
//! ```

#![forbid(unsafe_code)]

pub mod admission;
pub mod changed_records;
pub mod claims;
pub mod clocks;
pub mod connect;
pub mod duties;
pub mod forgetting;
pub mod freshness;
pub mod import;
pub mod metrics;
pub mod notification_worker;
pub mod outlook;
pub mod ports;
pub mod relay;
pub mod reprocess;
pub mod sessions;
pub mod start;
pub mod stop;
pub mod sweeper;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
pub mod upkeep;
pub mod verify;
pub mod worker;
