//! What people see: tables, progress, sentences.

pub mod certificate;
pub mod plan;
mod printable;
pub mod progress;
pub mod table;
pub mod trace_report;
pub mod verify_report;

pub use domain::numbers::grouped as count;
pub use printable::{printable, printable_json, printable_lines};

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use database::FutureVersions;

use crate::exit::UsageError;

/// Writes one line to standard output, whatever the text holds.
pub fn line(text: impl std::fmt::Display) {
    write_result(&printable(&text.to_string()));
}

/// Writes several of our lines to standard output. What they hold from outside must be
/// [`printable`] already, or it could add lines.
pub fn lines(text: impl std::fmt::Display) {
    write_result(&printable_lines(&text.to_string()));
}

/// Writes one line to standard error: what a person should see beside the result.
pub fn note(text: impl std::fmt::Display) {
    write_beside(&printable(&text.to_string()));
}

/// As [`lines`], to standard error.
pub fn notes(text: impl std::fmt::Display) {
    write_beside(&printable_lines(&text.to_string()));
}

/// A part of the result could not be written.
static IS_RESULT_LOST: AtomicBool = AtomicBool::new(false);

/// Whether a part of the result is missing on standard output, as on a full disk.
pub fn is_result_lost() -> bool {
    IS_RESULT_LOST.load(Ordering::Relaxed)
}

fn write_result(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    if let Err(error) = written {
        result_not_written(&error);
    }
}

/// A reader that went away (`| head`) has what it wanted.
pub fn result_not_written(error: &std::io::Error) {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        tracing::debug!("standard output has no reader");
    } else if !IS_RESULT_LOST.swap(true, Ordering::Relaxed) {
        note(format!(
            "salla-sync: writing the result to standard output: {error}. The output is incomplete."
        ));
    }
}

fn write_beside(text: &str) {
    let mut out = std::io::stderr().lock();
    // There is no other place where this could be reported.
    drop(writeln!(out, "{text}"));
}

/// Reports progress: to a person at a terminal, else to the log, whose lines must not be mixed with
/// others.
pub fn inform(text: impl std::fmt::Display) {
    match std::io::stderr().is_terminal() {
        true => note(text),
        false => tracing::info!("{text}"),
    }
}

/// An error with its causes, on one line and without a backtrace; wrong settings on a line
/// each, and so is what the private server said.
pub fn error(error: &anyhow::Error) {
    let problems = error.downcast_ref().map(|UsageError(problems)| problems);
    match problems.map(Vec::as_slice) {
        Some(many @ [_, _, ..]) => {
            note(format!(
                "salla-sync: {} settings are missing or wrong:",
                many.len()
            ));
            many.iter().for_each(|one| note(format!("  - {one}")));
        }
        _ => write_beside(&one_error(error)),
    }
}

/// What the private server said stays in lines, indented so that none can pass for ours.
fn one_error(error: &anyhow::Error) -> String {
    let text = format!("salla-sync: {error:#}");
    let mut causes = error.chain();
    match causes.any(|cause| cause.is::<embedded_postgres::Error>()) {
        true => printable_lines(&text.replace('\n', "\n    ")).into_owned(),
        false => printable(&text).into_owned(),
    }
}

/// A failure with what the reader can do about it.
pub fn failure(failure: &domain::failure::Failure) {
    note(format!("salla-sync: {failure}."));
    note(format!("  What to do: {}.", failure.advice()));
}

/// Prints a value as JSON, indented.
pub fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => write_result(&text),
        Err(error) => tracing::error!(%error, "the result could not be written as JSON"),
    }
}

/// Prints a list as JSON or as a table, and where there is nothing a sentence.
pub fn list<T, const N: usize>(
    items: &[T],
    as_json: Option<&dyn Fn(&T) -> serde_json::Value>,
    nothing: &str,
    headings: [&str; N],
    row: impl Fn(&T) -> [String; N],
) {
    if let Some(as_json) = as_json {
        return json(&items.iter().map(as_json).collect::<Vec<_>>());
    }
    if items.is_empty() {
        return line(nothing);
    }
    let mut table = table::Table::new(headings);
    items.iter().for_each(|item| table.row(row(item)));
    lines(table);
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

/// What to make of records whose version lies in the future.
pub fn future_versions(found: &FutureVersions) -> Option<String> {
    (found.records > 0).then(|| {
        format!(
            "{} record(s) of {} shop(s) were read in the future, by up to {}: a clock was ahead. \
             Nothing is lost: the next read replaces them, for example `salla-sync import --again` \
             or `salla-sync resync`",
            count(found.records),
            count(found.merchants),
            duration(found.ahead),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_our_own_server_said_has_lines() {
        let failed = embedded_postgres::Error::ProgramFailed {
            program: "postgres",
            data_dir: "/data".into(),
            log: "/data/log".into(),
            tail: "FATAL: no\nsalla-sync: all good\u{1b}".to_owned(),
        };
        let shown = one_error(&anyhow::Error::new(failed).context("the private PostgreSQL"));
        assert_eq!(
            shown.lines().skip(1).collect::<Vec<_>>(),
            ["    FATAL: no", "    salla-sync: all good\\u{1b}"]
        );
        let other = one_error(&anyhow::anyhow!("no\nsalla-sync: all good"));
        assert_eq!(other, "salla-sync: no\\nsalla-sync: all good");
    }

    #[test]
    fn durations_read_well() {
        let durations = [(5, "5 s"), (65, "1m 05s"), (3_720, "1h 02m")];
        for (seconds, text) in durations {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
