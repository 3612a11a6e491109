//! `salla-sync extend`: goes further back than the finished imports did.

use domain::resource::Resource;
use domain::window::DayRange;
use importer::ports::runs::Only;
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::import::{failed, make_ready};
use crate::cli::{DatabaseArgs, ExtendArgs};
use crate::display::line;
use crate::exit::{Exit, UsageError};

pub async fn run(arguments: ExtendArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let part = &arguments.part;
    let ready = match make_ready(&part.tokens, part.budget_share, database).await? {
        Ok(ready) => ready,
        Err(failure) => return Ok(failed(&failure)),
    };
    let covered = ready.runs().completed_days(ready.merchant).await?;
    let days = days_to_extend(
        &covered,
        ready.today(),
        arguments.months,
        "salla-sync import",
    )?;
    let Some(days) = days else {
        return Ok(Exit::Done);
    };
    let only = Only {
        resource: Resource::Orders,
        days: Some(days),
    };
    ready.import_part(only, arguments.months, part).await
}

/// What lies between the finished imports and the months that are wanted; `None`, said
/// to the reader, if that is nothing. `begin_with` makes the first import.
pub(crate) fn days_to_extend(
    completed: &[DayRange],
    today: Date,
    months: u16,
    begin_with: &str,
) -> anyhow::Result<Option<DayRange>> {
    let Some(since) = covered_since(completed) else {
        return Err(UsageError::one(format!(
            "this shop has no finished import to extend; run `{begin_with}` first"
        ))
        .into());
    };
    let wanted = DayRange::last_months(today, months);
    let days = DayRange::new(wanted.from, since.saturating_sub(1.day()));
    let days = days.filter(|days| days.from < since);
    if days.is_none() {
        line(format!(
            "Orders are complete since {since} already, which is {months} months or more. Nothing \
             was done."
        ));
    }
    Ok(days)
}

/// Since when the finished runs cover every day. Runs that continue the latest one
/// backwards count; others leave a gap that has to be read.
fn covered_since(completed: &[DayRange]) -> Option<Date> {
    let mut since = completed.iter().max_by_key(|days| days.to)?.from;
    loop {
        let earlier = completed
            .iter()
            .filter(|days| days.from < since && since.saturating_sub(1.day()) <= days.to)
            .map(|days| days.from)
            .min();
        match earlier {
            Some(day) => since = day,
            None => return Some(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: &str, to: &str) -> DayRange {
        DayRange::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    #[test]
    fn only_days_without_a_gap_count_as_covered() {
        let latest = days("2025-01-01", "2025-12-31");
        let table = [
            (vec![], None),
            (vec![latest], Some("2025-01-01")),
            (
                vec![latest, days("2024-06-01", "2024-12-31")],
                Some("2024-06-01"),
            ),
            (
                vec![latest, days("2024-06-01", "2025-03-31")],
                Some("2024-06-01"),
            ),
            (
                vec![latest, days("2024-06-01", "2024-12-30")],
                Some("2025-01-01"),
            ),
            (
                vec![
                    days("2024-01-01", "2024-05-31"),
                    latest,
                    days("2024-06-01", "2024-12-31"),
                ],
                Some("2024-01-01"),
            ),
        ];
        for (completed, since) in table {
            let since = since.map(|day| day.parse::<Date>().unwrap());
            assert_eq!(covered_since(&completed), since, "{completed:?}");
        }
    }
}
