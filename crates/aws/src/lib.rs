//! AWS: queues on SQS, settings from Secrets Manager, keys that KMS wraps, and Lambda's events.
//!
//! Nothing of AWS leaves this crate: an error becomes a [`Failure`](domain::failure::Failure)
//! that names the call, what it was for and the right that it needs, and quotes nothing of a
//! message.

#![forbid(unsafe_code)]

mod client;
mod failure;
pub mod lambda;
pub mod secrets;
pub mod sqs;
#[cfg(feature = "testing")]
pub mod testing;

pub use client::Aws;
