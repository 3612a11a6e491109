//! The client against a small scripted server on a real socket.

mod budget;
mod connections;
mod fake_salla;
mod requests;
mod tokens;
mod unauthorised;
