//! The adapter against servers that speak as SQS does, and what becomes of messages when
//! everything on the way breaks.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod breaking;
mod contract;
mod proxy;
mod relay;
mod servers;
mod words;
