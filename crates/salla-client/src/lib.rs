//! The client of Salla's REST API for the import. Only this crate knows Salla's JSON.
//!
//! [`SallaClient`] implements the import's [`Platform`](importer::ports::platform::Platform)
//! port. A request goes through these modules:
//!
//! 1. [`admission`] waits for a slot, for the budgets that the request costs ([`pacing`] has the
//!    rules) and for memory, and takes the access token ([`tokens`], which refreshes it through
//!    [`oauth`]),
//! 2. [`request`] sends the request, classifies the response ([`classify`]) and repeats it within
//!    one retry budget ([`retry`]),
//! 3. the client splits the response into records ([`envelope`]) and translates each of them
//!    ([`translate`]).
//!
//! [`webhook`] reads what Salla sends: changes of records, and a shop's tokens.
//!
//! Not here: what to fetch and in which order, how tokens are stored, and any agreement between
//! processes except on refresh tokens and on the customers' budget, both through ports. Time,
//! randomness and HTTP clients come in from outside. What is known of the API is in
//! `docs/salla-api.md`.
//!
//! A record that cannot be read is rejected alone; its page and its neighbors are not affected:
//!
//! ```
//! use domain::resource::Resource;
//! use importer::ports::platform::Records;
//! use salla_client::translate;
//!
//! let body = br#"{
//!     "status": 200, "success": true,
//!     "data": [{"id": 7, "name": "Shoes", "status": "active"}, {"name": "without an id"}],
//!     "pagination": {"count": 2, "total": 2, "perPage": 60, "currentPage": 1, "totalPages": 1, "links": []}
//! }"#;
//! let (records, pagination) = translate::list(Resource::Categories, body).unwrap();
//! assert_eq!(pagination.total, 2);
//! let Records::Categories(categories) = records else { unreachable!() };
//! assert!(categories[0].outcome.is_ok());
//! assert!(categories[1].rejection().is_some());
//! ```

#![forbid(unsafe_code)]

pub mod admission;
mod client;
pub mod http;
pub mod introspection;
pub mod oauth;
pub mod pacing;
pub mod probe;
pub mod request;
pub mod retry;
pub mod tokens;

pub use client::{ClientSettings, SallaClient, customers_budget, shared_customers_budget};

pub mod classify;
mod dates;
pub mod envelope;
mod header_time;
mod lenient;
pub mod redact;
pub mod translate;
pub mod webhook;
mod wire;
