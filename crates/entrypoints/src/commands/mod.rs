//! One file per command.

#[cfg(feature = "demo")]
pub mod demo;
pub mod doctor;
pub mod import;
pub mod migrate;
pub mod plan;
pub mod psql;
pub mod rejected;
pub mod status;
