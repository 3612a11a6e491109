//! See the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    entrypoints::allocator::give_back_at_once();
    entrypoints::run().into()
}
