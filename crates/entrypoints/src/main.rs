//! See the library of this crate.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    entrypoints::memory::give_back_at_once();
    entrypoints::run().into()
}
