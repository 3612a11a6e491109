//! The program as an AWS Lambda function; see `entrypoints::lambda`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    entrypoints::memory::give_back_at_once();
    entrypoints::lambda::run().into()
}
