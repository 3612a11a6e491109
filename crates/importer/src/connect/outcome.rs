//! What becomes of tokens that were tried.

use domain::failure::{Disconnection, Failure};

use super::{Connected, Refused};

/// The result for tokens, under a stable name; `None`: it must be retried.
///
/// Tokens that Salla gives only once are at stake, so only what Salla has said of them ends the
/// matter: a response that cannot be read says nothing, however often it comes.
pub(super) fn outcome(connected: &Result<Connected, Refused>) -> Option<&'static str> {
    match connected {
        Ok(_) => Some("connected"),
        Err(Refused::Failure(Failure::Disconnected(why))) => {
            (!ends_by_adopting(*why)).then_some("failed")
        }
        Err(Refused::Failure(_)) => None,
        Err(Refused::OtherShop { .. }) => Some("other_shop"),
        Err(Refused::Outdated) => Some("outdated"),
        Err(
            Refused::Redeem(_) | Refused::Scopes(_) | Refused::Unclaimed | Refused::OtherAccount,
        ) => Some("refused"),
    }
}

/// An operator keeps the tokens from being used, for the time being.
fn ends_by_adopting(why: Disconnection) -> bool {
    matches!(why, Disconnection::NotAdopted | Disconnection::Parked)
}

#[cfg(test)]
mod tests {
    use domain::failure::DatabaseCause;

    use super::*;

    #[test]
    fn tokens_fail_for_good_by_what_salla_has_said_of_them_only() {
        let message = || "requesting the shop".to_owned();
        for failure in [
            Failure::Transient { message: message() },
            Failure::Broken { message: message() },
            Failure::NotJson { message: message() },
            Failure::TooLarge { message: message() },
            Failure::Bug { message: message() },
            Failure::Database {
                message: message(),
                cause: DatabaseCause::Refused,
            },
        ] {
            let text = format!("{failure:?}");
            assert_eq!(outcome(&Err(failure.into())), None, "{text}");
        }
        for why in Disconnection::ALL {
            let waits = matches!(why, Disconnection::NotAdopted | Disconnection::Parked);
            let expected = (!waits).then_some("failed");
            let refused = Refused::Failure(why.into());
            assert_eq!(outcome(&Err(refused)), expected, "{why:?}");
        }
        let other = Refused::OtherShop {
            named: 1,
            opened: 2,
        };
        for (refused, expected) in [
            (other, "other_shop"),
            (Refused::Outdated, "outdated"),
            (Refused::Unclaimed, "refused"),
        ] {
            assert_eq!(outcome(&Err(refused)), Some(expected));
        }
    }
}
