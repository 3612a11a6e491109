//! What the tracks of a record mean.

use domain::resource::Resource;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::ports::inspection::{Trace, TracedRun};

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum RecordStatus {
    Loaded,
    /// An order without its line items.
    LoadedInPart,
    /// Known only because an order names it; the list has not given it.
    KnownFromOrders,
    /// Something of it was not understood.
    Rejected,
    /// The platform no longer had it when it was requested.
    Gone {
        at: Timestamp,
    },
    /// It was listed and landed, but its row was deleted here.
    Missing,
}

/// A rejection that is open comes first, as in the certificate: something of the
/// record lacks even if a row is there.
pub fn status_of(trace: &Trace) -> RecordStatus {
    if trace.rejections.iter().any(|r| r.resolved_at.is_none()) {
        return RecordStatus::Rejected;
    }
    let was_listed = trace.source.is_some() || !trace.listed.is_empty();
    match (&trace.row, &trace.source) {
        (Some(row), _) if trace.resource == Resource::Orders => {
            match row.has_items == Some(true) && !trace.details_pending {
                true => RecordStatus::Loaded,
                false => RecordStatus::LoadedInPart,
            }
        }
        (Some(_), _) if was_listed => RecordStatus::Loaded,
        (Some(_), _) => RecordStatus::KnownFromOrders,
        (None, Some(source)) => match source.gone_at {
            Some(at) => RecordStatus::Gone { at },
            None => RecordStatus::Missing,
        },
        (None, None) => RecordStatus::Missing,
    }
}

/// The latest run that requested the orders of `day`.
pub fn run_of(runs: &[TracedRun], day: Date) -> Option<&TracedRun> {
    runs.iter().find(|run| run.range.contains(day))
}

#[cfg(test)]
mod tests {
    use domain::run::RunState;
    use domain::shop::MerchantId;
    use domain::window::DayRange;

    use super::*;
    use crate::ports::inspection::{TracedRejection, TracedRow, TracedSource};
    use crate::ports::runs::ShopSummary;

    fn moment() -> Timestamp {
        "2025-06-15T09:00:00Z".parse().unwrap()
    }

    fn loaded() -> Trace {
        Trace {
            shop: ShopSummary {
                merchant: MerchantId(uuid::Uuid::nil()),
                salla_id: 1,
                name: String::new(),
                plan: String::new(),
            },
            resource: Resource::Orders,
            id: 7,
            row: Some(TracedRow {
                reference_id: None,
                created_on: None,
                has_items: Some(true),
            }),
            source: Some(TracedSource {
                list_version: Some(moment()),
                list_since: None,
                detail_version: Some(moment()),
                gone_at: None,
                list_text_kept: false,
                detail_text_kept: false,
                items_text_kept: false,
            }),
            listed: vec![],
            rejections: vec![],
            details_pending: false,
            runs: vec![],
        }
    }

    fn rejection(resolved_at: Option<Timestamp>) -> TracedRejection {
        TracedRejection {
            kind: "order_detail".to_owned(),
            code: "invalid_date".to_owned(),
            json_path: "$".to_owned(),
            message: String::new(),
            last_seen_at: moment(),
            resolved_at,
        }
    }

    #[test]
    fn each_kind_of_track_has_its_meaning() {
        type Change = fn(&mut Trace);
        let table: [(Change, RecordStatus); 9] = [
            (|_| {}, RecordStatus::Loaded),
            (|t| t.details_pending = true, RecordStatus::LoadedInPart),
            (
                |t| t.row.as_mut().unwrap().has_items = Some(false),
                RecordStatus::LoadedInPart,
            ),
            (
                |t| t.rejections.push(rejection(None)),
                RecordStatus::Rejected,
            ),
            (
                |t| t.rejections.push(rejection(Some(moment()))),
                RecordStatus::Loaded,
            ),
            (|t| t.row = None, RecordStatus::Missing),
            (
                |t| {
                    t.row = None;
                    t.source.as_mut().unwrap().gone_at = Some(moment());
                },
                RecordStatus::Gone { at: moment() },
            ),
            (|t| t.resource = Resource::Customers, RecordStatus::Loaded),
            (
                |t| {
                    t.resource = Resource::Customers;
                    t.source = None;
                },
                RecordStatus::KnownFromOrders,
            ),
        ];
        for (index, (change, finding)) in table.into_iter().enumerate() {
            let mut trace = loaded();
            change(&mut trace);
            assert_eq!(status_of(&trace), finding, "case {index}");
        }
    }

    #[test]
    fn the_latest_run_of_a_day_is_named() {
        let run = |from: &str, to: &str| TracedRun {
            state: RunState::Completed,
            range: DayRange::new(from.parse().unwrap(), to.parse().unwrap()).unwrap(),
            max_orders: None,
        };
        let extended = run("2023-06-15", "2024-06-14");
        let runs = [extended.clone(), run("2024-06-15", "2025-06-15")];
        assert_eq!(
            run_of(&runs, "2024-01-01".parse().unwrap()),
            Some(&extended)
        );
        assert_eq!(run_of(&runs, "2025-06-15".parse().unwrap()), Some(&runs[1]));
        assert_eq!(run_of(&runs, "2023-06-14".parse().unwrap()), None);
    }
}
