//! The server as its users have it: the program itself, the simulator, and PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod api;
mod claiming;
mod consents;
mod hooks;
mod served;
mod server;
mod signing_in;
