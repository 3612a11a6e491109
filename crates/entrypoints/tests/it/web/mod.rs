//! The server as its users have it: the program itself, the simulator, and PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod api;
mod bad_input;
mod claiming;
mod consents;
mod following;
mod hooks;
mod invented;
mod served;
mod server;
mod signing_in;
mod starting;
mod tokens;
mod typescript;
