//! PostgreSQL: the importer's ports [`Landing`], [`Runs`], [`Connections`], [`Queue`],
//! [`SharedBudget`] and others, and the migrations.
//!
//! [`Database::connect`] is the main entry. Shop data is in the schema `salla`, everything that
//! only the importer needs in `salla_sync`. The module `landing` holds the one transaction that
//! everything depends on: rows, rejections, counters and the checkpoint, under a fencing token.
//!
//! No other crate knows SQL, and nothing of SQL leaves this one: an error becomes a
//! [`Failure`](domain::failure::Failure) that quotes no value.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use database::{ConnectSettings, Database, SchemaState};
//! use domain::failure::Failure;
//! use importer::ports::clock::SystemClock;
//!
//! # async fn example() -> Result<(), Failure> {
//! let settings = ConnectSettings::new("postgres://user@localhost/database".into());
//! let database = Database::connect(settings, Arc::new(SystemClock::real())).await?;
//! database.migrate().await?;
//! assert_eq!(database.schema_state().await?, SchemaState::UpToDate);
//! let landing = database.landing();
//! # drop(landing);
//! # Ok(())
//! # }
//! ```
//!
//! [`Landing`]: importer::ports::landing::Landing
//! [`Runs`]: importer::ports::runs::Runs
//! [`Connections`]: importer::ports::connections::Connections
//! [`Queue`]: importer::ports::queue::Queue
//! [`SharedBudget`]: importer::ports::shared_budget::SharedBudget

mod address;
mod api_tokens;
mod arrivals;
mod audit;
mod cdc;
mod claims;
mod columns;
mod confined;
mod connect;
mod connections;
mod contacts;
mod error;
mod event_tickets;
mod fitness;
mod future;
mod ids;
mod jobs;
mod keyring;
mod landing;
mod merchants;
mod migrations;
mod notifications;
mod overview;
mod privacy;
mod queue;
mod rate_limits;
mod records;
mod refusal;
mod reports;
mod roles;
mod runs;
mod session;
mod sessions;
mod shared_budget;
mod sockets;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;

pub use address::{Address, AddressError};
pub use api_tokens::PostgresApiTokens;
pub use arrivals::PostgresArrivals;
pub use audit::PostgresAudit;
pub use cdc::{CdcOptions, CdcStatus, SlotStatus};
pub use claims::PostgresClaims;
pub use connect::{ConnectSettings, Database};
pub use connections::{
    Adopted, ConnectionDetails, KeyCheck, KeyUse, Parked, PostgresConnections, Retried, Rotated,
};
pub use contacts::PostgresContacts;
pub use error::login_refused;
pub use event_tickets::PostgresEventTickets;
pub use jobs::{PostgresJobs, ShopsFreshness};
pub use keyring::{DerivedKey, KeyMismatch, Keyring, KeyringError};
pub use landing::PostgresLanding;
pub use merchants::PostgresMerchants;
pub use migrations::SchemaState;
pub use notifications::PostgresNotifications;
pub use overview::PostgresOverview;
pub use privacy::{ForgetCounts, PostgresPrivacy};
pub use queue::PostgresQueue;
pub use rate_limits::PostgresRateLimits;
pub use records::PostgresRecords;
pub use reports::{FutureVersions, RejectedFilter, RunStates};
pub use roles::{Granted, RolesStatus, roles_script};
pub use runs::PostgresRuns;
pub use sessions::PostgresSessions;
pub use shared_budget::{BudgetKey, PostgresBudget};
