//! Comparing the database with the platform after an import, without changing
//! anything.
//!
//! [`verify_windows`] compares counts with one request for each window;
//! [`verify_orders`] compares single orders field by field.

use domain::certificate::Proof;
use domain::failure::Failure;
use domain::numbers::Money;
use domain::order::{Order, OrderAmounts, OrderCustomer, OrderItem};
use domain::resource::Resource;
use domain::window::{DayRange, QueryRange};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::admission::FetchPermit;
use crate::import::pages::beginning;
use crate::ports::inspection::HeldWindow;
use crate::ports::platform::{PageRequest, Platform};

/// The platform's adapter decides how many are sent concurrently.
const IN_FLIGHT: usize = 8;

/// How the platform's count of one window compares with the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WindowComparison {
    pub resource: Resource,
    /// Without the overlap; `None` where the resource is read whole.
    pub days: Option<DayRange>,
    pub platform_now: u64,
    /// What the platform counted beyond (or below, if negative) its own list when the window was
    /// settled; 0 where count and list agreed. `meaning` leaves it out.
    pub settled_difference: i64,
    /// Rows, whichever run brought them, and records that are rejected with a reason.
    pub held: u64,
    #[serde(flatten)]
    pub meaning: CountDifference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "meaning", content = "records")]
pub enum CountDifference {
    Fits,
    /// The window was still open when it was read.
    ArrivedSince(u64),
    DeletedSince(u64),
    /// The import listed them, and they are neither loaded nor rejected nor gone.
    Lost(u64),
    /// All are here, and of that many records the lists inside or the total are not what the
    /// import read.
    Altered(u64),
    /// More than when these days were read, though they were over: drafts that became
    /// orders, or orders that were restored. The database lacks them.
    Lacking(u64),
    /// A first try did not scan the window to its end.
    CutShort,
}

impl CountDifference {
    /// Whether the database lacks something that only the passing of time does not
    /// explain.
    pub fn is_missing(self) -> bool {
        match self {
            Self::Lost(_) | Self::Altered(_) | Self::Lacking(_) => true,
            Self::Fits | Self::ArrivedSince(_) | Self::DeletedSince(_) | Self::CutShort => false,
        }
    }
}

impl WindowComparison {
    /// What the platform lists beyond (or below, if negative) what is held.
    pub fn difference(&self) -> i64 {
        self.platform_now.cast_signed() - self.held.cast_signed()
    }
}

/// Requests the count of each window, but not of slices: their list counts what they hold. `as_of`
/// is when the import was certified.
pub async fn verify_windows(
    platform: &dyn Platform,
    windows: &[HeldWindow],
    reach: QueryRange,
    as_of: Timestamp,
) -> Result<Vec<WindowComparison>, Failure> {
    let whole: Vec<_> = windows
        .iter()
        .filter(|w| w.counts.listing.slice.is_none())
        .collect();
    let asking = whole.into_iter().map(|window| async move {
        let listing = &window.counts.listing;
        let days = listing.days.map(|days| reach.of(days));
        let request = PageRequest::first(listing.resource, days);
        let (page, _permit) = beginning(platform, request).await?;
        Ok(compare(window, page.pagination.total, as_of))
    });
    stream::iter(asking).buffered(IN_FLIGHT).try_collect().await
}

fn compare(held: &HeldWindow, platform_now: u64, as_of: Timestamp) -> WindowComparison {
    let (window, beside) = (&held.counts, held.beside);
    let held = window.loaded + window.rejected;
    let lost = window.listing.listed().saturating_sub(held + window.gone);
    let held = held + beside;
    // Two scans agreed that the platform's number is off by this, so it is no change.
    let settled_difference = match window.listing.proof() {
        Proof::Settled => window.listing.difference(),
        Proof::CutShort | Proof::Proven | Proof::Unproven => 0,
    };
    let listed_now = platform_now.saturating_add_signed(-settled_difference);
    let meaning = if window.listing.cut_short {
        CountDifference::CutShort
    } else if lost > 0 {
        CountDifference::Lost(lost)
    } else if window.inside.differing > 0 {
        CountDifference::Altered(window.inside.differing)
    } else if listed_now == held {
        CountDifference::Fits
    } else if listed_now < held {
        CountDifference::DeletedSince(held - listed_now)
    } else if was_over(window.listing.days, as_of) {
        CountDifference::Lacking(listed_now - held)
    } else {
        CountDifference::ArrivedSince(listed_now - held)
    };
    WindowComparison {
        resource: window.listing.resource,
        days: window.listing.days,
        platform_now,
        settled_difference,
        held,
        meaning,
    }
}

/// A day is over everywhere once it is over in UTC, which is later than in Riyadh: it
/// is not known whose days the platform's filters mean.
fn was_over(days: Option<DayRange>, as_of: Timestamp) -> bool {
    let today: Date = as_of.to_zoned(TimeZone::UTC).date();
    days.is_some_and(|days| days.to < today)
}

/// How one order at the platform compares with its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderComparison {
    pub id: i64,
    #[serde(flatten)]
    pub outcome: OrderOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "fields")]
pub enum OrderOutcome {
    Same,
    /// The platform says that it was updated after it was read.
    ChangedSince(Vec<&'static str>),
    Differs(Vec<&'static str>),
    GoneSince,
    /// It loaded then and would be rejected now, with this code.
    NotUnderstood(&'static str),
}

impl OrderOutcome {
    pub fn is_wrong(&self) -> bool {
        match self {
            Self::Differs(_) | Self::NotUnderstood(_) => true,
            Self::Same | Self::ChangedSince(_) | Self::GoneSince => false,
        }
    }
}

/// Fetches each of the orders and compares it with what is stored.
pub async fn verify_orders(
    platform: &dyn Platform,
    stored: &[Order],
) -> Result<Vec<OrderComparison>, Failure> {
    let asking = stored.iter().map(|order| async move {
        Ok(OrderComparison {
            id: order.id,
            outcome: verify_order(platform, order).await?,
        })
    });
    stream::iter(asking).buffered(IN_FLIGHT).try_collect().await
}

async fn verify_order(platform: &dyn Platform, stored: &Order) -> Result<OrderOutcome, Failure> {
    let mut permit = FetchPermit::default();
    let Some(answer) = platform.order_detail(stored.id, &mut permit).await? else {
        return Ok(OrderOutcome::GoneSince);
    };
    let mut current = match answer.record.outcome {
        Ok(order) => order,
        Err(rejection) => return Ok(OrderOutcome::NotUnderstood(rejection.code.as_str())),
    };
    if current.items.is_none() {
        let Some(items) = platform.order_items(stored.id, &mut permit).await? else {
            return Ok(OrderOutcome::GoneSince);
        };
        match items.record.outcome {
            Ok(items) => current.items = Some(items),
            Err(rejection) => return Ok(OrderOutcome::NotUnderstood(rejection.code.as_str())),
        }
    }
    let fields = differing_fields(stored, &current);
    let instant = |order: &Order| order.updated_at.as_ref().map(|at| at.instant);
    Ok(if fields.is_empty() {
        OrderOutcome::Same
    } else if instant(&current) > instant(stored) {
        OrderOutcome::ChangedSince(fields)
    } else {
        OrderOutcome::Differs(fields)
    })
}

/// The fields in which `current` and `stored` differ. A missing field is no difference: one form of
/// an order lacks fields of another.
fn differing_fields(stored: &Order, current: &Order) -> Vec<&'static str> {
    let instant = |at: &Option<domain::instant::SallaInstant>| at.as_ref().map(|at| at.instant);
    let amount = |money: &Option<Money>| money.as_ref().map(|money| money.amount);
    let rate = |order: &Order| order.exchange_rate.as_ref().and_then(|rate| rate.rate);
    let customer = |order: &Order| order.customer.as_ref().and_then(OrderCustomer::id);
    let status = |order: &Order| order.status.clone().unwrap_or_default();
    let (ours, theirs) = (status(stored), status(current));
    let mut differ = vec![];
    let mut note = |name, is_different: bool| {
        if is_different {
            differ.push(name);
        }
    };
    note(
        "reference_id",
        contradicts(&stored.reference_id, &current.reference_id),
    );
    note(
        "created_at",
        stored.created_at.instant != current.created_at.instant,
    );
    note(
        "updated_at",
        contradicts(&instant(&stored.updated_at), &instant(&current.updated_at)),
    );
    note(
        "status",
        contradicts(&ours.id, &theirs.id)
            || contradicts(&ours.slug, &theirs.slug)
            || contradicts(&ours.name, &theirs.name),
    );
    note(
        "custom_status",
        contradicts(&ours.custom_id, &theirs.custom_id)
            || contradicts(&ours.custom_name, &theirs.custom_name),
    );
    note(
        "payment_method",
        contradicts(&stored.payment_method, &current.payment_method),
    );
    note("source", contradicts(&stored.source, &current.source));
    note(
        "customer_id",
        contradicts(&customer(stored), &customer(current)),
    );
    note("currency", contradicts(&stored.currency, &current.currency));
    note(
        "total",
        contradicts(&amount(&stored.total), &amount(&current.total)),
    );
    note("exchange_rate", contradicts(&rate(stored), &rate(current)));
    differ.extend(amounts_that_differ(&stored.amounts, &current.amounts));
    if let Some(theirs) = &current.items
        && !stored
            .items
            .as_deref()
            .is_some_and(|ours| are_the_same(ours, theirs))
    {
        differ.push("items");
    }
    differ
}

fn contradicts<T: PartialEq>(stored: &Option<T>, current: &Option<T>) -> bool {
    current.is_some() && stored != current
}

fn amounts_that_differ(
    stored: &Option<OrderAmounts>,
    current: &Option<OrderAmounts>,
) -> Vec<&'static str> {
    let (ours, theirs) = match (stored, current) {
        (_, None) => return vec![],
        (None, Some(_)) => return vec!["amounts"],
        (Some(ours), Some(theirs)) => (ours, theirs),
    };
    let parts = [
        ("subtotal", ours.subtotal, theirs.subtotal),
        ("shipping", ours.shipping, theirs.shipping),
        (
            "cash_on_delivery",
            ours.cash_on_delivery,
            theirs.cash_on_delivery,
        ),
        ("tax_percent", ours.tax_percent, theirs.tax_percent),
        ("tax_amount", ours.tax, theirs.tax),
    ];
    let mut differ: Vec<&'static str> = parts
        .iter()
        .filter_map(|(name, ours, theirs)| contradicts(ours, theirs).then_some(*name))
        .collect();
    if ours.discounts != theirs.discounts {
        differ.push("discounts");
    }
    differ
}

/// The same lines, in any order. Two that are equal are two.
fn are_the_same(ours: &[OrderItem], theirs: &[OrderItem]) -> bool {
    let mut left: Vec<&OrderItem> = ours.iter().collect();
    let found = theirs.iter().all(|item| {
        let place = left.iter().position(|ours| *ours == item);
        place.map(|place| left.swap_remove(place)).is_some()
    });
    found && left.is_empty()
}

#[cfg(test)]
mod tests {
    use domain::certificate::WindowCounts;

    use super::*;

    #[test]
    fn each_difference_has_its_meaning() {
        let counts = |loaded, gone| -> HeldWindow {
            let zero = r#"{"window":1,"resource":"orders","days":null,"walks":1,"reported":100,
                "total_was_stable":true,"distinct":99,"without_id":1,"loaded":0,"rejected":2,
                "gone":0,"details_needed":0,"details_loaded":0,"cut_short":false}"#;
            let mut counts: WindowCounts = serde_json::from_str(zero).unwrap();
            counts.listing.days =
                DayRange::new("2025-06-01".parse().unwrap(), "2025-06-14".parse().unwrap());
            (counts.loaded, counts.gone) = (loaded, gone);
            HeldWindow { counts, beside: 0 }
        };
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let open = at("2025-06-14T20:00:00Z");
        // Already the 15th in Riyadh, but not yet in UTC.
        let over_in_riyadh = at("2025-06-14T22:00:00Z");
        let over = at("2025-06-15T00:00:00Z");
        let table = [
            (counts(98, 0), 100, over, CountDifference::Fits),
            (counts(95, 3), 97, over, CountDifference::Fits),
            (counts(95, 3), 96, over, CountDifference::DeletedSince(1)),
            (counts(98, 0), 102, open, CountDifference::ArrivedSince(2)),
            (
                counts(98, 0),
                102,
                over_in_riyadh,
                CountDifference::ArrivedSince(2),
            ),
            (counts(98, 0), 102, over, CountDifference::Lacking(2)),
            (counts(97, 0), 100, over, CountDifference::Lost(1)),
            (counts(97, 0), 99, over, CountDifference::Lost(1)),
        ];
        // Seven orders that another run has read since.
        let mut beside = counts(98, 0);
        beside.beside = 7;
        let found = compare(&beside, 107, open);
        assert_eq!((found.held, found.meaning), (107, CountDifference::Fits));
        assert_eq!(
            compare(&beside, 109, open).meaning,
            CountDifference::ArrivedSince(2)
        );
        // The platform's number was off when the window was settled, and still is.
        let off = |reported| {
            let mut settled = counts(98, 0);
            settled.counts.listing.reported = reported;
            settled.counts.listing.same_as_before = true;
            settled
        };
        let settled = [
            (off(103), 103, over, CountDifference::Fits),
            (off(97), 97, over, CountDifference::Fits),
            (off(103), 100, over, CountDifference::DeletedSince(3)),
            (off(97), 100, over, CountDifference::Lacking(3)),
            (off(97), 99, open, CountDifference::ArrivedSince(2)),
            // It is no longer counted too high by more than there is.
            (off(103), 1, over, CountDifference::DeletedSince(100)),
        ];
        for (window, platform_now, as_of, meaning) in table.into_iter().chain(settled) {
            let found = compare(&window, platform_now, as_of);
            assert_eq!(found.meaning, meaning, "{platform_now} {as_of}");
            let difference = window.counts.listing.difference();
            assert_eq!(found.settled_difference, difference, "{platform_now}");
        }
        // A number that no two scans agreed on explains nothing.
        let mut unproven = off(103);
        unproven.counts.listing.same_as_before = false;
        let found = compare(&unproven, 103, over);
        assert_eq!(
            (found.settled_difference, found.meaning),
            (0, CountDifference::Lacking(3))
        );
        let mut cut_short = counts(10, 0);
        cut_short.counts.listing.cut_short = true;
        assert_eq!(
            compare(&cut_short, 100, over).meaning,
            CountDifference::CutShort
        );
        let mut altered = counts(98, 0);
        altered.counts.inside.differing = 3;
        let found = compare(&altered, 100, over).meaning;
        assert_eq!(
            (found, found.is_missing()),
            (CountDifference::Altered(3), true)
        );
        let mut whole = counts(98, 0);
        whole.counts.listing.days = None;
        assert_eq!(
            compare(&whole, 101, over).meaning,
            CountDifference::ArrivedSince(1)
        );
    }
}
