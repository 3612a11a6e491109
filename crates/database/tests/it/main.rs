//! Everything here runs on a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "helpers are not seen to be tests, and a failed step has to end the test"
)]

mod budgets;
mod catalogue;
mod certificate;
mod changed;
mod changes;
mod claims;
mod connecting;
mod connections;
mod contacts;
mod counting;
mod details;
mod doors;
mod forgotten;
mod freezing;
mod freshness;
mod future;
mod inside;
mod keys;
mod landing_orders;
mod make;
mod migrating;
mod notifications;
mod parallel;
mod parking;
mod pooler;
mod privacy;
mod proof;
mod queue;
mod reading;
mod reconnected;
mod refresh;
mod refusals;
mod refused_details;
mod rejections;
mod repair;
mod retrying;
mod roles;
mod room;
mod schema;
mod servers;
mod sessions;
mod shop;
mod slices;
mod states;
mod sums;
mod tls;
mod traces;
mod views;
mod windows;
