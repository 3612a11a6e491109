//! What `from_date` and `to_date` mean: whether the days they name are included, and
//! whose days they are.

use domain::failure::Failure;
use domain::instant::riyadh;
use domain::order::Order;
use jiff::civil::Date;

use super::order_list::SampleOrders;
use super::{NO_ANSWER, ProbeAnswer, Prober, yes};

/// Riyadh is three hours ahead, so an order of these hours has another day in UTC.
const NIGHT: std::ops::Range<i8> = 0..3;
/// At these hours it is the same day in both.
const DAYTIME: std::ops::RangeInclusive<i8> = 4..=20;

pub(super) async fn filters(prober: &mut Prober<'_>, listed: &SampleOrders) -> Result<(), Failure> {
    ends(prober, listed).await?;
    zone(prober, listed).await
}

fn hour(order: &Order) -> i8 {
    riyadh().to_datetime(order.created_at.instant).hour()
}

fn day(order: &Order) -> Date {
    order.created_at.riyadh_date()
}

const FROM: &str = "Does from_date include the day it names?";
const TO: &str = "Does to_date include the day it names?";

/// The day holds an order in whichever zone it is meant, so an inclusive filter shows
/// that day first.
async fn ends(prober: &mut Prober<'_>, listed: &SampleOrders) -> Result<(), Failure> {
    let mut daytime = listed.orders.iter().filter(|o| DAYTIME.contains(&hour(o)));
    let Some(order) = daytime.next() else {
        prober.unknown(FROM, "no order is far enough from midnight");
        prober.unknown(TO, "no order is far enough from midnight");
        return Ok(());
    };
    let wanted = day(order);
    let name = wanted.to_string();
    let answer = prober
        .orders(&[
            ("from_date", &name),
            ("sort_by", "created_at-asc"),
            ("per_page", "60"),
        ])
        .await?;
    note_end(prober, FROM, &answer, |days| {
        days.min().is_some_and(|first| first <= wanted)
    });
    let answer = prober
        .orders(&[
            ("to_date", &name),
            ("sort_by", "created_at-desc"),
            ("per_page", "60"),
        ])
        .await?;
    note_end(prober, TO, &answer, |days| {
        days.max().is_some_and(|last| last >= wanted)
    });
    Ok(())
}

fn note_end(
    prober: &mut Prober<'_>,
    question: &'static str,
    answer: &ProbeAnswer,
    is_included: impl Fn(&mut dyn Iterator<Item = Date>) -> bool,
) {
    if !answer.is_success() {
        return prober.unknown(question, answer.reason());
    }
    let included = is_included(&mut answer.orders.iter().map(day));
    prober.note(
        question,
        yes(included),
        format!(
            "requested a day with an order; {} rows, with that day: {}",
            answer.orders.len(),
            yes(included)
        ),
    );
}

const ZONE: &str = "Are the days of the filter Riyadh's or UTC's?";

/// An order of the small hours is found under its Riyadh day only if days are
/// Riyadh's. The newest day is left out: it may not have begun in UTC.
async fn zone(prober: &mut Prober<'_>, listed: &SampleOrders) -> Result<(), Failure> {
    let newest = listed.orders.iter().map(day).max();
    let is_of_use = |o: &&Order| NIGHT.contains(&hour(o)) && Some(day(o)) < newest;
    let Some(order) = listed.orders.iter().find(is_of_use) else {
        prober.unknown(
            ZONE,
            "no order of an earlier day was created between 00:00 and 03:00 in Riyadh",
        );
        return Ok(());
    };
    let name = day(order).to_string();
    let answer = prober
        .orders(&[
            ("from_date", &name),
            ("to_date", &name),
            ("sort_by", "created_at-asc"),
            ("per_page", "60"),
        ])
        .await?;
    if !answer.is_success() {
        prober.unknown(ZONE, NO_ANSWER);
        return Ok(());
    }
    let found = answer.orders.iter().any(|o| o.id == order.id);
    let next_night = answer.orders.iter().any(|o| day(o) > day(order));
    let rows = answer.orders.len();
    if found {
        prober.note(
            ZONE,
            "Riyadh's",
            format!(
                "one Riyadh day requested: {rows} rows, an order of its first three hours \
                 among them"
            ),
        );
    } else if next_night || rows > 0 {
        prober.note(
            ZONE,
            "UTC's",
            format!(
                "one Riyadh day requested: {rows} rows, an order of its first three hours is not \
                 among them; rows of the following night: {}",
                yes(next_night)
            ),
        );
    } else {
        prober.unknown(ZONE, "a request for one day returned no rows");
    }
    Ok(())
}
