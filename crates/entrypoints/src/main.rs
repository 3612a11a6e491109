//! See the library of this crate.

use std::process::ExitCode;

/// A worker holds the records of many shops for moments; with the usual allocator their
/// gaps stay with the process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    entrypoints::run().into()
}
