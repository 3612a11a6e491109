//! What people see: tables, progress, sentences.

pub mod certificate;
pub mod plan;
pub mod progress_bar;
pub mod repair;
pub mod table;
pub mod trace;
pub mod verify;

pub use domain::text::grouped as count;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Writes one line to standard output. A reader that went away (`| head`) is no
/// error worth a message.
pub fn line(text: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").is_err() {
        tracing::debug!("standard output is closed");
    }
}

/// Writes one line to standard error: what a person should see beside the result.
pub fn note(text: impl std::fmt::Display) {
    let mut out = std::io::stderr().lock();
    if writeln!(out, "{text}").is_err() {
        tracing::debug!("standard error is closed");
    }
}

/// Says what is going on: to a person at a terminal, else to the log, whose lines must
/// not be mixed with others.
pub fn tell(text: impl std::fmt::Display) {
    match std::io::stderr().is_terminal() {
        true => note(text),
        false => tracing::info!("{text}"),
    }
}

/// An error with its causes, on one line and without a backtrace.
pub fn error(error: &anyhow::Error) {
    note(format!("salla-sync: {error:#}"));
}

/// A failure with what the reader can do about it.
pub fn failure(failure: &domain::failure::Failure) {
    note(format!(
        "salla-sync: {failure}.
  What to do: {}.",
        failure.advice()
    ));
}

/// Prints a value as JSON, indented.
pub fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(text),
        Err(error) => tracing::error!(%error, "the result could not be written as JSON"),
    }
}

/// `1h 02m`, `3m 05s`, `42 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let durations = [(5, "5 s"), (65, "1m 05s"), (3_720, "1h 02m")];
        for (seconds, text) in durations {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
