//! Whether the clocks of this machine and of the database's agree.
//!
//! What was read later wins, by the clock of the machine that read it: one that is behind
//! would lose what it reads to older rows.

use database::Database;
use domain::failure::Failure;
use importer::ports::clock::Clock;
use jiff::{SignedDuration, Timestamp};

/// More than machines set by NTP ever are apart, and less than the time for which another
/// process keeps a run it has lost touch with.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

pub fn clocks_agree(apart: SignedDuration) -> bool {
    apart.abs() <= TOLERANCE
}

/// By how much the database's clock is at least ahead of ours; negative where it is behind.
pub async fn clocks_apart(
    database: &Database,
    clock: &dyn Clock,
) -> Result<SignedDuration, Failure> {
    let asked = clock.now();
    let theirs = database.now().await?;
    Ok(apart(theirs, asked, clock.now()))
}

/// The answer was given at some moment between the question and its arrival.
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
        for (milliseconds, expected) in [
            (0, true),
            (30_000, true),
            (30_001, false),
            (-30_000, true),
            (-30_001, false),
        ] {
            let apart = SignedDuration::from_millis(milliseconds);
            assert_eq!(clocks_agree(apart), expected, "{milliseconds}");
        }
    }
}
