//! A run: one historical import of one shop.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowId(pub i64);

crate::names! {
    /// The state of a run as the database and the commands spell it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    pub enum RunState {
        /// No worker has it: not started yet, or interrupted and ready to resume.
        Pending = "PENDING",
        InProgress = "IN_PROGRESS",
        /// Resumes automatically at a known time.
        Waiting = "WAITING",
        /// Resumes from its checkpoint on request.
        Paused = "PAUSED",
        Completed = "COMPLETED",
        /// Ended by a failure that a person must act on; a restart resumes from the checkpoint.
        Failed = "FAILED",
        /// Cancelled on request; what was read stays.
        Cancelled = "CANCELLED",
    }
}

/// What can be requested of an existing run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunCommand {
    Pause,
    /// Resume: after a pause, or without waiting any longer.
    Resume,
    Cancel,
    /// Restart from the checkpoint after a failure or a cancellation.
    Restart,
}

/// What a command makes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    To(RunState),
    /// The run is as it is wanted already.
    Unchanged,
    /// With a sentence that says why and what to do instead.
    Refused(&'static str),
}

impl RunState {
    /// Whether a worker may take the run on, unless another one holds it. A failed run
    /// has to be restarted first: a second delivery of the message that it failed under
    /// must not begin it again.
    pub fn can_be_claimed(self) -> bool {
        match self {
            Self::Pending | Self::InProgress | Self::Waiting => true,
            Self::Paused | Self::Completed | Self::Failed | Self::Cancelled => false,
        }
    }

    pub fn transition(self, command: RunCommand) -> Transition {
        match (command, self) {
            (RunCommand::Pause, Self::Pending | Self::InProgress | Self::Waiting) => {
                Transition::To(Self::Paused)
            }
            (RunCommand::Pause, Self::Paused) => Transition::Unchanged,
            (RunCommand::Pause, Self::Failed) => Transition::Refused(
                "it has failed, so there is nothing to pause; use `runs cancel` to cancel it",
            ),
            (RunCommand::Resume, Self::Paused | Self::Waiting) => Transition::To(Self::Pending),
            (RunCommand::Resume, Self::Pending | Self::InProgress) => Transition::Unchanged,
            (RunCommand::Resume, Self::Failed | Self::Cancelled) => Transition::Refused(
                "it has ended; use `runs restart` to resume from its \
                     checkpoint",
            ),
            (
                RunCommand::Cancel,
                Self::Pending | Self::InProgress | Self::Waiting | Self::Paused | Self::Failed,
            ) => Transition::To(Self::Cancelled),
            (RunCommand::Cancel, Self::Cancelled) => Transition::Unchanged,
            (RunCommand::Restart, Self::Failed | Self::Cancelled) => Transition::To(Self::Pending),
            (RunCommand::Restart, Self::Pending | Self::InProgress | Self::Waiting) => {
                Transition::Unchanged
            }
            (RunCommand::Restart, Self::Paused) => {
                Transition::Refused("it is paused; use `runs resume` to resume from its checkpoint")
            }
            (_, Self::Completed) => Transition::Refused(
                "it is completed; `runs start` reads what has changed since, `runs extend` what is \
                 older as well, `runs start --again` everything",
            ),
            (RunCommand::Pause, Self::Cancelled) => Transition::Refused(
                "it is cancelled; use `runs restart` to resume from its \
                     checkpoint",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table at a glance: rows are states, columns pause, resume, cancel and
    /// restart; `=` is nothing to do, `!` a refusal.
    #[test]
    fn every_command_in_every_state() {
        let table = [
            (RunState::Pending, ["PAUSED", "=", "CANCELLED", "="]),
            (RunState::InProgress, ["PAUSED", "=", "CANCELLED", "="]),
            (RunState::Waiting, ["PAUSED", "PENDING", "CANCELLED", "="]),
            (RunState::Paused, ["=", "PENDING", "CANCELLED", "!"]),
            (RunState::Completed, ["!", "!", "!", "!"]),
            (RunState::Failed, ["!", "!", "CANCELLED", "PENDING"]),
            (RunState::Cancelled, ["!", "!", "=", "PENDING"]),
        ];
        assert_eq!(table.map(|(state, _)| state), RunState::ALL);
        let commands = [
            RunCommand::Pause,
            RunCommand::Resume,
            RunCommand::Cancel,
            RunCommand::Restart,
        ];
        for (state, expected) in table {
            let steps = commands.map(|command| match state.transition(command) {
                Transition::To(next) => next.as_str(),
                Transition::Unchanged => "=",
                Transition::Refused(_) => "!",
            });
            assert_eq!(steps, expected, "{state}");
        }
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in RunState::ALL {
            assert_eq!(RunState::parse(state.as_str()), Some(state));
        }
    }
}
