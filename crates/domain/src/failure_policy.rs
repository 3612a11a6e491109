//! What becomes of a job whose attempt did not end the run.

use std::time::Duration;

use crate::failure::{Disconnection, Failure};

/// How an attempt went, as far as the decision is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptInfo {
    /// 1 for the first of those that count.
    pub number: u32,
    /// The last permitted one; at least 1.
    pub max_attempts: u32,
    /// Whether the run got further. An attempt that made progress does not count: an import of
    /// hours may meet any number of outages.
    pub made_progress: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// The run ends FAILED: a person must act, or no attempt is left.
    Fail,
    /// The run waits for `delay` and resumes from its checkpoint.
    RetryLater {
        delay: Duration,
        counts_as_attempt: bool,
    },
    /// Nothing is wrong: any free worker resumes it immediately.
    Release,
    /// Another worker holds the run, or a user changed its state: the database says what is left to
    /// do.
    Reload,
}

/// Waits after failures without progress grow fourfold from this on, so that the usual
/// five attempts outlast an outage of three quarters of an hour.
const FIRST_DELAY: Duration = Duration::from_secs(30);
const MAX_DELAY: Duration = Duration::from_secs(3_600);

/// Often enough that a run resumes soon after the clock was corrected.
const UNTIL_CLOCKS_ARE_SET: Duration = Duration::from_secs(60);

/// Decides by who must act (ARCHITECTURE.md#failures-by-who-must-act). Waits are without jitter.
pub fn action_for(failure: &Failure, attempt: AttemptInfo) -> FailureAction {
    match failure {
        Failure::Disconnected(_)
        | Failure::Broken { .. }
        | Failure::TooLarge { .. }
        | Failure::TooManyRejections { .. }
        | Failure::Unbalanced { .. }
        | Failure::Bug { .. } => FailureAction::Fail,
        // Salla requires the wait; it is not a failed attempt.
        Failure::Throttled { wait } => FailureAction::RetryLater {
            delay: *wait,
            counts_as_attempt: false,
        },
        Failure::Transient { .. }
        | Failure::NotJson { .. }
        | Failure::Database { .. }
        | Failure::Setup { .. }
            if attempt.made_progress =>
        {
            FailureAction::RetryLater {
                delay: FIRST_DELAY,
                counts_as_attempt: false,
            }
        }
        Failure::Transient { .. }
        | Failure::NotJson { .. }
        | Failure::Database { .. }
        | Failure::Setup { .. } => {
            if attempt.number >= attempt.max_attempts {
                return FailureAction::Fail;
            }
            let failed_before = attempt.number.saturating_sub(1).min(8);
            let growth = 4_u32.pow(failed_before);
            FailureAction::RetryLater {
                delay: FIRST_DELAY.saturating_mul(growth).min(MAX_DELAY),
                counts_as_attempt: true,
            }
        }
        // It ends when the clock is corrected, and no attempt helps before.
        Failure::ClocksApart { .. } => FailureAction::RetryLater {
            delay: UNTIL_CLOCKS_ARE_SET,
            counts_as_attempt: false,
        },
        Failure::LeaseLost => FailureAction::Reload,
        Failure::Stopped => FailureAction::Release,
    }
}

/// Whether the message of a run that FAILED is kept because an operator or a developer must act,
/// and not the merchant.
pub fn is_dead_letter(failure: &Failure) -> bool {
    match failure {
        Failure::Broken { .. }
        | Failure::Bug { .. }
        | Failure::NotJson { .. }
        | Failure::TooLarge { .. }
        | Failure::Transient { .. }
        | Failure::Throttled { .. }
        | Failure::Database { .. }
        | Failure::Setup { .. }
        | Failure::Disconnected(Disconnection::Forbidden) => true,
        Failure::Disconnected(_)
        | Failure::TooManyRejections { .. }
        | Failure::Unbalanced { .. }
        | Failure::ClocksApart { .. }
        | Failure::LeaseLost
        | Failure::Stopped => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Imbalance;

    fn attempt(number: u32, made_progress: bool) -> AttemptInfo {
        AttemptInfo {
            number,
            max_attempts: 5,
            made_progress,
        }
    }

    fn transient() -> Failure {
        Failure::Transient {
            message: "Salla answers with 503".to_owned(),
        }
    }

    #[test]
    fn waits_without_progress_grow_until_nothing_is_left() {
        let waits = [1, 2, 3, 4, 5].map(|n| action_for(&transient(), attempt(n, false)));
        let wait = |seconds| FailureAction::RetryLater {
            delay: Duration::from_secs(seconds),
            counts_as_attempt: true,
        };
        assert_eq!(
            waits,
            [
                wait(30),
                wait(120),
                wait(480),
                wait(1_920),
                FailureAction::Fail
            ]
        );
        let last = AttemptInfo {
            number: u32::MAX - 1,
            max_attempts: u32::MAX,
            made_progress: false,
        };
        assert_eq!(action_for(&transient(), last), wait(3_600));
    }

    /// A maintenance page under status 200 goes away some day; a response that stays the same is
    /// not a transient error.
    #[test]
    fn an_answer_that_is_no_json_is_tried_again_and_then_a_dead_letter() {
        let failure = Failure::NotJson {
            message: "listing orders, page 3: the answer is not JSON".to_owned(),
        };
        let first = FailureAction::RetryLater {
            delay: Duration::from_secs(30),
            counts_as_attempt: true,
        };
        assert_eq!(action_for(&failure, attempt(1, false)), first);
        assert_eq!(action_for(&failure, attempt(5, false)), FailureAction::Fail);
        assert!(is_dead_letter(&failure));
        assert_eq!(failure.code(), "not_json");
    }

    #[test]
    fn progress_and_waiting_for_salla_cost_no_attempt() {
        let wait = Duration::from_secs(600);
        let free = |by| FailureAction::RetryLater {
            delay: by,
            counts_as_attempt: false,
        };
        let throttled = Failure::Throttled { wait };
        assert_eq!(action_for(&throttled, attempt(5, false)), free(wait));
        let soon = free(Duration::from_secs(30));
        assert_eq!(action_for(&transient(), attempt(5, true)), soon);
        let apart = Failure::ClocksApart {
            message: "this machine's clock is wrong".to_owned(),
        };
        let a_minute = free(Duration::from_secs(60));
        assert_eq!(action_for(&apart, attempt(5, false)), a_minute);
    }

    #[test]
    fn what_no_repetition_helps_ends_at_once() {
        let failures = [
            Failure::Disconnected(Disconnection::RefreshRefused),
            Failure::Unbalanced {
                windows: 1,
                cause: Imbalance::Moving,
            },
            Failure::Bug {
                message: "an invariant does not hold".to_owned(),
            },
        ];
        for failure in failures {
            assert_eq!(action_for(&failure, attempt(1, true)), FailureAction::Fail);
        }
        let none = attempt(1, false);
        assert_eq!(action_for(&Failure::LeaseLost, none), FailureAction::Reload);
        assert_eq!(action_for(&Failure::Stopped, none), FailureAction::Release);
    }
}
