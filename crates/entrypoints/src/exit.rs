//! Exit codes, as `--help` documents them.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    Usage,
    Interrupted,
    Taken,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Interrupted => 3,
            Exit::Taken => 4,
        })
    }
}

/// An error of which everything was said when it happened.
#[derive(Debug, thiserror::Error)]
#[error("see above")]
pub struct Reported(pub Exit);

/// Settings that are missing or wrong, all of them together.
#[derive(Debug)]
pub struct UsageError(pub Vec<String>);

impl UsageError {
    pub fn one(problem: impl Into<String>) -> Self {
        Self(vec![problem.into()])
    }
}

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            many => {
                write!(f, "{} settings are missing or wrong:", many.len())?;
                for problem in many {
                    write!(f, "\n  - {problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for UsageError {}
