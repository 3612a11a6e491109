//! Salla's REST API for the import: everything that knows Salla, and nothing else.
//!
//! A request goes through [`request`]: it waits for the shop's budget ([`pacing`]) and
//! for a place in flight ([`concurrency`]), takes the access token ([`tokens`], which
//! renews it through [`oauth`]), is sent, judged ([`classify`]) and repeated within one
//! budget ([`retry`]). What comes back is cut into records ([`envelope`]) and each of
//! them is translated by itself ([`translate`]), so that no other crate ever sees
//! Salla's JSON. [`SallaClient`] puts this behind the import's
//! [`Platform`](importer::ports::platform::Platform) port.
//!
//! What Salla sends by itself, [`webhook`] reads: changes of records and a shop's tokens.
//!
//! Not here: what to fetch and in which order, storing tokens, and any agreement
//! between processes but those on refresh tokens and on the customers' budget, both
//! through ports. Time, chance and HTTP clients come in
//! from outside.

#![forbid(unsafe_code)]

mod client;
pub mod concurrency;
pub mod http;
pub mod oauth;
pub mod pacing;
pub mod request;
pub mod retry;
pub mod survey;
pub mod tokens;

pub use client::{ClientSettings, SallaClient, customers_budget, shared_customers_budget};

pub mod classify;
mod dates;
pub mod envelope;
mod lenient;
mod outside;
pub mod translate;
pub mod webhook;
mod wire;
