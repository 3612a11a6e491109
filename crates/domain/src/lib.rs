//! The nouns and rules of a historical import.
//!
//! This crate does no I/O, knows no async runtime and has no clock: every rule
//! in it is a function from values to values and is tested with tables. It also
//! knows nothing of Salla's JSON; `salla-client` turns that into these types.

#![forbid(unsafe_code)]

pub mod catalogue;
pub mod ceiling;
pub mod certificate;
pub mod customer;
pub mod disposition;
pub mod failure;
pub mod instant;
pub mod job;
pub mod money;
pub mod notification;
pub mod order;
pub mod plan;
pub mod plausible;
pub mod rejection;
pub mod resource;
pub mod run;
pub mod scopes;
pub mod shop;
pub mod slice;
pub mod text;
pub mod window;
