//! The program as an AWS Lambda function; see `entrypoints::lambda`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    entrypoints::memory::return_memory_eagerly();
    entrypoints::lambda::run().into()
}
