//! Whether the clocks that an import meets agree: this machine's, the database's and Salla's.
//!
//! What was requested later wins, by the clock of the machine that requested it. A machine
//! whose clock is behind would lose what it reads to older rows, and one whose clock is ahead
//! writes rows that look newer than what is read after its clock was set right.

use domain::failure::Failure;
use jiff::{SignedDuration, Timestamp};

use crate::ports::clock::Clock;
use crate::ports::platform::Platform;
use crate::ports::runs::{DatabaseClock, Runs};

/// Salla's clock and ours may be so far apart.
pub(crate) const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// More than machines set by NTP ever are apart, and less than the time for which another
/// process keeps a run it has lost touch with.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// What the others show minus what this machine shows, at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    pub database: SignedDuration,
    /// The database's clock is this machine's, or its server runs on this machine.
    pub one_machine: bool,
    /// `None` where no response has carried a `Date`.
    pub salla: Option<SignedDuration>,
}

/// What an import is to make of the offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    Agreed,
    /// Not as it should be, and no reason to import nothing.
    Doubtful(String),
    Apart(String),
}

impl Offsets {
    pub fn agreement(&self) -> Agreement {
        let salla = self.salla.filter(|offset| offset.abs() > TOLERANCE);
        if self.database.abs() > TOLERANCE {
            return Agreement::Apart(self.with_the_database());
        }
        let Some(salla) = salla else {
            return Agreement::Agreed;
        };
        let seconds = salla.as_secs();
        if self.one_machine && salla.abs() > MAX_CLOCK_SKEW {
            return Agreement::Apart(format!(
                "this machine's clock and Salla's are {seconds} s apart, and PostgreSQL's is on \
                 this machine too: synchronize the clock by NTP and check its time zone"
            ));
        }
        let others = match self.one_machine {
            true => "this machine's clock is probably wrong: synchronize it by NTP",
            false => "PostgreSQL's agrees with this machine's, so Salla's is probably wrong",
        };
        Agreement::Doubtful(format!(
            "this machine's clock and Salla's are {seconds} s apart; {others}"
        ))
    }

    /// Where two agree, the third one is wrong.
    fn with_the_database(&self) -> String {
        let apart = format!(
            "this machine's clock and PostgreSQL's are {} s apart",
            self.database.as_secs()
        );
        let wrong = match self.salla {
            Some(salla) if salla.abs() <= TOLERANCE => {
                "; Salla's agrees with this machine's, so PostgreSQL's is wrong"
            }
            Some(salla) if (salla - self.database).abs() <= TOLERANCE => {
                "; Salla's agrees with PostgreSQL's, so this machine's is wrong"
            }
            Some(_) => "; Salla's agrees with neither",
            None => "",
        };
        format!(
            "{apart}{wrong}; the newer of two versions is found by the time it was read, so \
             synchronize both by NTP and start again"
        )
    }
}

/// Compares all three, as far as they are known. `None` where `clock` runs apart from the
/// machine's, as in a simulation, so that there is nothing to compare it with.
pub async fn offsets(
    runs: &dyn Runs,
    platform: Option<&dyn Platform>,
    clock: &dyn Clock,
) -> Result<Option<Offsets>, Failure> {
    if !clock.follows_machine() {
        return Ok(None);
    }
    let asked = clock.now();
    let DatabaseClock { now, one_machine } = runs.database_clock().await?;
    Ok(Some(Offsets {
        database: apart(now, asked, clock.now()),
        one_machine,
        salla: platform.and_then(Platform::clock_offset),
    }))
}

/// Fails where the clocks are too far apart for an import.
pub(crate) async fn ensure_agreement(
    runs: &dyn Runs,
    platform: &dyn Platform,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let Some(offsets) = offsets(runs, Some(platform), clock).await? else {
        return Ok(());
    };
    match offsets.agreement() {
        Agreement::Agreed => Ok(()),
        Agreement::Doubtful(reason) => {
            tracing::warn!(reason, "the clocks do not agree");
            Ok(())
        }
        Agreement::Apart(reason) => Err(Failure::ClocksApart { message: reason }),
    }
}

/// By how much a clock is at least ahead that showed `theirs` at some moment between the question
/// and the arrival of its response; negative where it is behind.
fn apart(theirs: Timestamp, asked: Timestamp, answered: Timestamp) -> SignedDuration {
    if theirs < asked {
        theirs.duration_since(asked)
    } else {
        theirs.duration_since(answered).max(SignedDuration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(database: i64, one_machine: bool, salla: Option<i64>) -> Offsets {
        Offsets {
            database: SignedDuration::from_secs(database),
            one_machine,
            salla: salla.map(SignedDuration::from_secs),
        }
    }

    #[test]
    fn a_slow_answer_is_no_difference() {
        let second = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        for (theirs, answered, expected) in [
            (0, 0, 0),
            (50, 100, 0),
            (100, 100, 0),
            (101, 100, 1),
            (131, 100, 31),
            (-31, 100, -31),
        ] {
            let apart = apart(second(theirs), second(0), second(answered));
            assert_eq!(apart, SignedDuration::from_secs(expected), "{theirs}");
        }
    }

    #[test]
    fn half_a_minute_either_way_is_agreement() {
        for one_machine in [true, false] {
            for (database, salla) in [
                (0, None),
                (30, None),
                (-30, None),
                (0, Some(30)),
                (-30, Some(-30)),
            ] {
                let given = offsets(database, one_machine, salla);
                assert_eq!(given.agreement(), Agreement::Agreed, "{given:?}");
            }
        }
    }

    #[test]
    fn a_database_that_is_apart_ends_it_and_salla_says_who_is_wrong() {
        for (database, salla, expected) in [
            (31, None, "PostgreSQL's are 31 s apart; the newer"),
            (-10_800, Some(5), "so PostgreSQL's is wrong"),
            (10_800, Some(10_790), "so this machine's is wrong"),
            (10_800, Some(-10_800), "agrees with neither"),
        ] {
            let given = offsets(database, false, salla);
            let Agreement::Apart(reason) = given.agreement() else {
                panic!("{given:?} is taken for agreement");
            };
            assert!(reason.contains(expected), "{reason}");
            assert!(reason.contains("synchronize both by NTP"), "{reason}");
        }
    }

    /// A machine and the database on it are wrong together.
    #[test]
    fn salla_outvotes_one_machine_and_not_two() {
        for seconds in [10_800, -10_800, 172_800, 301] {
            let alone = offsets(0, true, Some(seconds)).agreement();
            assert!(matches!(alone, Agreement::Apart(_)), "{seconds}: {alone:?}");
            let two = offsets(0, false, Some(seconds)).agreement();
            assert!(matches!(two, Agreement::Doubtful(_)), "{seconds}: {two:?}");
        }
        let a_minute = offsets(0, true, Some(-61)).agreement();
        assert!(matches!(a_minute, Agreement::Doubtful(_)), "{a_minute:?}");
    }
}
