//! What others rely on, byte for byte: stored and printed JSON, help, log fields, files whose
//! checksums are stored in databases.
//!
//! A snapshot that differs is a change of the public surface: accept it only on purpose, and say
//! so in the changelog. New ones are written by `INSTA_UPDATE=always cargo nextest run`.

mod files;
mod help;
mod printed;
mod shape;
mod stored;
