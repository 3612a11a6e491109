//! How many rows of a list Salla shows.

use serde::{Deserialize, Serialize};

/// A connector of another shop system found lists that stop here; a first guess.
const FIRST_GUESS: u64 = 10_000;

/// This many rows are shown even where such a ceiling hides the whole page that reaches across
/// it, of up to a hundred rows.
const SURELY_SHOWN: u64 = FIRST_GUESS - 101;

/// Sizes of pages that lists are known to come in.
const PAGE_SIZES: [u64; 4] = [15, 30, 50, 60];

/// A number as round as this may be a limit.
const ROUND: u64 = 500;

/// The number of rows beyond which a shop's lists may stop: what one of them has shown, or
/// a first guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ceiling(Option<u64>);

impl Ceiling {
    /// No list has stopped early yet.
    pub const UNKNOWN: Self = Self(None);

    /// A list has stopped after `rows` rows.
    pub fn of(rows: u64) -> Self {
        Self(Some(rows.max(1)))
    }

    /// What a list has shown, if one ever stopped early.
    pub fn learned(self) -> Option<u64> {
        self.0
    }

    /// The lower of both.
    pub fn min(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(own), Some(other)) => Self(Some(own.min(other))),
            (own, other) => Self(own.or(other)),
        }
    }

    /// As many rows as a list shows at most.
    pub fn rows(self) -> u64 {
        self.0.unwrap_or(FIRST_GUESS)
    }

    /// Whether Salla may hide the end of a list of that many rows.
    pub fn may_hide(self, total: u64) -> bool {
        total > self.0.unwrap_or(SURELY_SHOWN)
    }

    /// Whether a list of that many rows may end at the ceiling or continue behind it.
    pub fn may_end(self, total: u64) -> bool {
        self.may_hide(total) || self.0 == Some(total)
    }

    /// Whether a list that reports and shows `total` rows may be one whose `total` ends at
    /// the ceiling as well, as that of a search engine does.
    pub fn may_limit_total(self, total: u64) -> bool {
        let is_first_guess = |size| total == FIRST_GUESS / size * size;
        self.0 == Some(total) || total == FIRST_GUESS || PAGE_SIZES.into_iter().any(is_first_guess)
    }

    /// Whether it costs little to make sure that a list of `total` rows does not end at a
    /// ceiling that no list has shown yet.
    pub fn is_worth_a_check(self, total: u64) -> bool {
        let is_round = total > 0 && total.is_multiple_of(ROUND);
        is_round || self.may_limit_total(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_guess_leaves_room_for_a_page() {
        for (total, hidden) in [(9_899, false), (9_900, true), (30_000, true)] {
            assert_eq!(Ceiling::UNKNOWN.may_hide(total), hidden, "{total}");
        }
    }

    #[test]
    fn what_a_list_has_shown_replaces_the_guess() {
        let ceiling = Ceiling::of(1_000);
        for (total, hidden) in [(999, false), (1_000, false), (1_001, true)] {
            assert_eq!(ceiling.may_hide(total), hidden, "{total}");
        }
        assert_eq!(Ceiling::UNKNOWN.min(ceiling), ceiling);
        assert_eq!(Ceiling::of(960).min(ceiling), Ceiling::of(960));
        assert_eq!(ceiling.min(Ceiling::UNKNOWN).rows(), 1_000);
    }

    #[test]
    fn totals_that_look_like_limits() {
        for (ceiling, total, limit, check) in [
            (Ceiling::UNKNOWN, 10_000, true, true),
            (Ceiling::UNKNOWN, 9_960, true, true),
            (Ceiling::UNKNOWN, 9_990, true, true),
            (Ceiling::UNKNOWN, 9_961, false, false),
            (Ceiling::UNKNOWN, 1_000, false, true),
            (Ceiling::UNKNOWN, 1_100, false, false),
            (Ceiling::UNKNOWN, 0, false, false),
            (Ceiling::of(1_020), 1_020, true, true),
            (Ceiling::of(1_020), 1_021, false, false),
        ] {
            assert_eq!(ceiling.may_limit_total(total), limit, "{total}");
            assert_eq!(ceiling.is_worth_a_check(total), check, "{total}");
        }
    }
}
