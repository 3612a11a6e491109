//! See the library of this crate.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    entrypoints::memory::return_memory_eagerly();
    entrypoints::run().into()
}
