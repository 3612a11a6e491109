//! Whether an order was updated since a list of the last updated ones was read, where rows do not
//! say when: the order's details do.
//!
//! That list is sorted by it. So one order that was certainly updated before a former list was
//! read proves that everything behind it is as it was then. That its details are those that are
//! stored does not: a webhook may have had them stored, or an attempt that failed.

use domain::failure::Failure;
use jiff::Timestamp;

use super::context::RunContext;
use super::details;
use super::watermark::MISREADINGS;
use crate::admission::FetchPermit;
use crate::clocks::MAX_CLOCK_SKEW;
use crate::ports::landing::{DetailOutcome, OrderDetail};
use crate::ports::runs::OrderMoments;

/// What an order's details show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Neither it nor what stands behind it was updated since.
    Unchanged,
    MaybeUpdated,
    /// They do not say when it was updated, or when the former list was read is not known.
    Undated,
}

/// Fetches and lands an order's details, and compares them with what is stored.
pub(super) async fn refetch(
    ctx: &RunContext,
    id: i64,
    asked_at: Option<Timestamp>,
) -> Result<Evidence, Failure> {
    let stored = ctx.runs.order_moments(ctx.lease, &[id]).await?;
    let Some(stored) = stored.first() else {
        return Ok(Evidence::MaybeUpdated);
    };
    let mut permit = FetchPermit::default();
    let (platform, clock) = (ctx.platform.as_ref(), ctx.clock.as_ref());
    let fetched = details::fetch(platform, clock, id, &mut permit).await?;
    let evidence = evidence(stored, &fetched.detail, asked_at);
    let landed = details::land(ctx.clone(), vec![fetched]).await?;
    ctx.check_rejections(&landed).await?;
    Ok(evidence)
}

fn evidence(stored: &OrderMoments, now: &OrderDetail, asked_at: Option<Timestamp>) -> Evidence {
    let order = match &now.outcome {
        DetailOutcome::Found { order, .. } => &order.outcome,
        DetailOutcome::Gone => return Evidence::MaybeUpdated,
    };
    let Ok(order) = order else {
        return Evidence::MaybeUpdated;
    };
    let (Some(updated_at), Some(asked_at)) = (&order.updated_at, asked_at) else {
        return Evidence::Undated;
    };
    let updated_at = updated_at.instant;
    let known_at = stored.detailed_at.unwrap_or(now.version);
    let is_unchanged = stored.updated_at == Some(updated_at);
    match is_unchanged && is_certainly_before(updated_at, known_at, asked_at) {
        true => Evidence::Unchanged,
        false => Evidence::MaybeUpdated,
    }
}

/// Whether what says that it was updated at `updated_at`, and was known at `known_at`, was updated
/// before `asked_at`, as far as the clocks and the zones of Salla's dates can be trusted.
fn is_certainly_before(updated_at: Timestamp, known_at: Timestamp, asked_at: Timestamp) -> bool {
    let known_after = known_at.duration_since(updated_at) + MAX_CLOCK_SKEW;
    let asked_after = asked_at.duration_since(updated_at) - MAX_CLOCK_SKEW;
    let possible = MISREADINGS.into_iter().filter(|by| *by <= known_after);
    possible.max().is_some_and(|latest| latest < asked_after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::platform::Decoded;
    use domain::instant::{DateReading, SallaInstant};
    use domain::order::Order;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn stored(updated_at: i64, detailed_at: i64) -> OrderMoments {
        OrderMoments {
            id: 1,
            created_at: at(0),
            updated_at: Some(at(updated_at)),
            detailed_at: Some(at(detailed_at)),
        }
    }

    fn detail(updated_at: Option<i64>) -> OrderDetail {
        let instant = |second| SallaInstant {
            instant: at(second),
            raw: String::new(),
            reading: DateReading::Riyadh,
        };
        let order = Order {
            id: 1,
            reference_id: None,
            created_at: instant(0),
            updated_at: updated_at.map(instant),
            status: None,
            payment_method: None,
            source: None,
            currency: None,
            total: None,
            exchange_rate: None,
            amounts: None,
            customer: None,
            items: None,
        };
        let order = Decoded {
            raw: "{}".into(),
            outcome: Ok(order),
        };
        OrderDetail {
            order_id: 1,
            version: at(1_100_000),
            outcome: DetailOutcome::Found {
                order: Box::new(order),
                items: None,
            },
        }
    }

    /// The former list was asked for at 1,000,000.
    #[test]
    fn only_an_order_that_was_certainly_updated_before_the_former_list_is_unchanged() {
        use Evidence::{MaybeUpdated, Unchanged};
        for (updated_at, detailed_at, updated_now, expected) in [
            (990_000, 1_000_010, 990_000, Unchanged),
            (990_000, 1_000_010, 1_050_000, MaybeUpdated),
            // A webhook had it stored, or an attempt that failed.
            (1_010_000, 1_010_010, 1_010_000, MaybeUpdated),
            // Perhaps of the second in which the list was read.
            (1_000_000, 1_000_010, 1_000_000, MaybeUpdated),
            (999_900, 1_000_010, 999_900, MaybeUpdated),
            // Perhaps three hours later than it says, for all that is known; or not, because it
            // was stored before that.
            (990_000, 1_050_000, 990_000, MaybeUpdated),
            (990_000, 990_010, 990_000, Unchanged),
            // Three hours earlier than it says.
            (1_005_000, 1_000_010, 1_005_000, Unchanged),
            (980_000, 1_050_000, 980_000, Unchanged),
        ] {
            let stored = stored(updated_at, detailed_at);
            let found = evidence(&stored, &detail(Some(updated_now)), Some(at(1_000_000)));
            assert_eq!(found, expected, "{updated_at} {detailed_at} {updated_now}");
        }
    }

    #[test]
    fn details_that_do_not_say_when_are_no_evidence() {
        let stored = stored(990_000, 990_010);
        let undated = evidence(&stored, &detail(None), Some(at(1_000_000)));
        assert_eq!(undated, Evidence::Undated);
        let unasked = evidence(&stored, &detail(Some(990_000)), None);
        assert_eq!(unasked, Evidence::Undated);
        let gone = OrderDetail {
            outcome: DetailOutcome::Gone,
            ..detail(None)
        };
        let gone = evidence(&stored, &gone, Some(at(1_000_000)));
        assert_eq!(gone, Evidence::MaybeUpdated);
    }
}
