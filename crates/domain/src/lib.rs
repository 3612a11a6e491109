//! The types and rules of an import.
//!
//! This crate does no I/O, knows no async runtime and has no clock: every rule is a function
//! from values to values and is tested with tables. It knows nothing of Salla's JSON either;
//! `salla-client` translates that into these types.
//!
//! | module | what it defines |
//! |---|---|
//! | [`plan`] | the windows, pages and requests that a run needs, and the least time for them |
//! | [`window`], [`slice`](mod@slice), [`ceiling`] | how a list is divided |
//! | [`order`], [`customer`], [`catalogue`] | the records |
//! | [`rejection`] | why a record was rejected |
//! | [`certificate`] | what a finished run has proven |
//! | [`failure`], [`failure_policy`] | what can go wrong, who must act, and what happens next |
//! | [`run`], [`job`], [`notification`] | the life of a run, and the messages about it |
//!
//! How long does Salla take, at least, for 50,000 orders on its largest plan?
//!
//! ```
//! use domain::plan::{Budget, pages};
//!
//! let special = Budget { requests_per_minute: Some(720), share: 1.0 };
//! let requests = pages(50_000, 60);
//! assert_eq!(requests, 834);
//! assert_eq!(special.floor_seconds(requests), 60);
//! ```

#![forbid(unsafe_code)]

pub mod catalogue;
pub mod ceiling;
pub mod certificate;
pub mod connection_change;
pub mod contact;
pub mod customer;
pub mod failure;
pub mod failure_policy;
pub mod instant;
pub mod job;
mod names;
pub mod notification;
pub mod numbers;
pub mod order;
pub mod plan;
pub mod plausible;
pub mod rejection;
pub mod resource;
pub mod run;
pub mod scopes;
pub mod shop;
pub mod slice;
pub mod window;
