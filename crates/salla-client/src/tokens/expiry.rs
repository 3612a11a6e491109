//! When a token is old enough to be refreshed without being asked to.

use jiff::{SignedDuration, Timestamp};

/// Less than this left is soon, where the whole life of the token is unknown.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Whether a token that ends at `expires_at` should be refreshed at `now`: in the last
/// tenth of its life, or in its last day where the life is unknown.
pub(super) fn is_due(
    expires_at: Option<Timestamp>,
    whole: Option<SignedDuration>,
    now: Timestamp,
) -> bool {
    let Some(expires_at) = expires_at else {
        return false;
    };
    let soon = whole.map_or(DAY, |whole| whole / 10);
    expires_at.duration_since(now) < soon
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_due_in_the_last_tenth_of_its_life() {
        let now: Timestamp = "2025-06-15T00:00:00Z".parse().unwrap();
        let hours = SignedDuration::from_hours;
        let table = [
            (None, None, false),
            (Some(25), None, false),
            (Some(24), None, false),
            (Some(23), None, true),
            (Some(-1), None, true),
            (Some(34), Some(14 * 24), false),
            (Some(33), Some(14 * 24), true),
            (Some(1), Some(5), false),
        ];
        for (left, whole, due) in table {
            let expires_at = left.map(|left| now + hours(left));
            assert_eq!(
                is_due(expires_at, whole.map(hours), now),
                due,
                "{left:?} of {whole:?}"
            );
        }
    }
}
