//! What becomes of a job whose attempt did not end the run.

use std::time::Duration;

use crate::failure::{Disconnection, Failure};

/// How an attempt went, as far as the decision is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first of those that count.
    pub number: u32,
    /// The last permitted one; at least 1.
    pub most: u32,
    /// Whether rows landed. An attempt that made progress does not count: an import of
    /// hours may meet any number of outages.
    pub made_progress: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The run ends FAILED: somebody must act, or no attempt is left.
    Fail,
    /// The run waits so long and goes on from its checkpoint.
    Wait { by: Duration, counts: bool },
    /// Nothing is wrong: whoever is free goes on at once.
    GiveBack,
    /// Another worker holds the run, or somebody has decided about it: its state in the
    /// database says what is left to do.
    LookAgain,
}

/// Waits after failures without progress grow fourfold from this on, so that the usual
/// five attempts outlast an outage of three quarters of an hour.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// Often enough that a run goes on soon after the clock was set right.
const UNTIL_CLOCKS_ARE_SET: Duration = Duration::from_secs(60);

/// Decides by who must act (ARCHITECTURE.md#failures-by-who-must-act). Waits are without jitter.
pub fn decide(failure: &Failure, attempt: Attempt) -> Decision {
    match failure {
        Failure::Disconnected(_)
        | Failure::Broken { .. }
        | Failure::TooLarge { .. }
        | Failure::TooManyRejections { .. }
        | Failure::Unbalanced { .. }
        | Failure::Bug { .. } => Decision::Fail,
        // Waiting is what Salla asked for, not a failed attempt.
        Failure::Throttled { wait } => Decision::Wait {
            by: *wait,
            counts: false,
        },
        Failure::Transient { .. }
        | Failure::NotJson { .. }
        | Failure::Database { .. }
        | Failure::Setup { .. }
            if attempt.made_progress =>
        {
            Decision::Wait {
                by: FIRST_WAIT,
                counts: false,
            }
        }
        Failure::Transient { .. }
        | Failure::NotJson { .. }
        | Failure::Database { .. }
        | Failure::Setup { .. } => {
            if attempt.number >= attempt.most {
                return Decision::Fail;
            }
            let failed_before = attempt.number.saturating_sub(1).min(8);
            let growth = 4_u32.pow(failed_before);
            Decision::Wait {
                by: FIRST_WAIT.saturating_mul(growth).min(LONGEST_WAIT),
                counts: true,
            }
        }
        // It is over once somebody has set the clock, and no attempt helps before.
        Failure::ClocksApart { .. } => Decision::Wait {
            by: UNTIL_CLOCKS_ARE_SET,
            counts: false,
        },
        Failure::LeaseLost => Decision::LookAgain,
        Failure::Stopped => Decision::GiveBack,
    }
}

/// Whether the message of a run that FAILED is kept for whoever must act: an operator or
/// a developer, and not the merchant.
pub fn belongs_to_the_dead_letters(failure: &Failure) -> bool {
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

    fn attempt(number: u32, made_progress: bool) -> Attempt {
        Attempt {
            number,
            most: 5,
            made_progress,
        }
    }

    fn transient() -> Failure {
        Failure::Transient {
            what: "Salla answers with 503".to_owned(),
        }
    }

    #[test]
    fn waits_without_progress_grow_until_nothing_is_left() {
        let waits = [1, 2, 3, 4, 5].map(|n| decide(&transient(), attempt(n, false)));
        let wait = |seconds| Decision::Wait {
            by: Duration::from_secs(seconds),
            counts: true,
        };
        assert_eq!(
            waits,
            [wait(30), wait(120), wait(480), wait(1_920), Decision::Fail]
        );
        let last = Attempt {
            number: u32::MAX - 1,
            most: u32::MAX,
            made_progress: false,
        };
        assert_eq!(decide(&transient(), last), wait(3_600));
    }

    /// The one that writes pages of maintenance under status 200 is done with it some day; an
    /// answer that stays as it is, is no passing trouble.
    #[test]
    fn an_answer_that_is_no_json_is_tried_again_and_then_a_dead_letter() {
        let failure = Failure::NotJson {
            what: "listing orders, page 3: the answer is not JSON".to_owned(),
        };
        let first = Decision::Wait {
            by: Duration::from_secs(30),
            counts: true,
        };
        assert_eq!(decide(&failure, attempt(1, false)), first);
        assert_eq!(decide(&failure, attempt(5, false)), Decision::Fail);
        assert!(belongs_to_the_dead_letters(&failure));
        assert_eq!(failure.code(), "not_json");
    }

    #[test]
    fn progress_and_waiting_for_salla_cost_no_attempt() {
        let wait = Duration::from_secs(600);
        let free = |by| Decision::Wait { by, counts: false };
        let throttled = Failure::Throttled { wait };
        assert_eq!(decide(&throttled, attempt(5, false)), free(wait));
        let soon = free(Duration::from_secs(30));
        assert_eq!(decide(&transient(), attempt(5, true)), soon);
        let apart = Failure::ClocksApart {
            what: "this machine's clock is wrong".to_owned(),
        };
        let a_minute = free(Duration::from_secs(60));
        assert_eq!(decide(&apart, attempt(5, false)), a_minute);
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
                what: "an invariant does not hold".to_owned(),
            },
        ];
        for failure in failures {
            assert_eq!(decide(&failure, attempt(1, true)), Decision::Fail);
        }
        let none = attempt(1, false);
        assert_eq!(decide(&Failure::LeaseLost, none), Decision::LookAgain);
        assert_eq!(decide(&Failure::Stopped, none), Decision::GiveBack);
    }
}
