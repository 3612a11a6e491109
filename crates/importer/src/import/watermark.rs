//! Which orders were updated since a list of the last updated ones was read.
//!
//! Only whole orders say in a list when they were updated (docs/salla-api.md#list-of-orders), but
//! every list can be sorted by it. What was not updated since keeps its order, and everything that
//! was stands before it. So the updated ones end where the former list continues.
//!
//! The list knows only seconds. What was updated in the second in which the former list
//! was read, but after it, may stand anywhere among what was updated in that second. Where
//! rows say when they were updated, everything of that second counts as updated.
//!
//! The former list may be gone, because all of it has been updated again. Then only dates tell
//! where the updated ones end: of rows that have one, or of the details of some orders.

use std::collections::{HashMap, HashSet};

use domain::order::Order;
use domain::plan::PlanInputs;
use jiff::{SignedDuration, Timestamp};

use crate::clocks::MAX_CLOCK_SKEW;
use crate::ports::platform::{Decoded, Page, Records};
use crate::ports::runs::ChangeHead;

/// The head of the former list may have been updated again in just its former sequence, most likely
/// the very first order alone. This many of its orders count as updated, and only those after them
/// as the former list. If details say when an order was updated, they decide how many it is.
pub(crate) const AMBIGUOUS_ORDERS: usize = 5;

/// The orders that count as updated in any case, unless they are deleted, by the head of
/// the list as it was.
pub(crate) fn ambiguous_head(previous: &[i64]) -> &[i64] {
    &previous[..previous.len().min(AMBIGUOUS_ORDERS)]
}

/// Some of Salla's dates are UTC although they say Riyadh (docs/salla-api.md#dates).
pub(crate) const ZONE_AMBIGUITY: SignedDuration = SignedDuration::from_hours(3);

/// How much later than it says a moment may be.
pub(super) const MISREADINGS: [SignedDuration; 3] = [
    SignedDuration::ZERO,
    ZONE_AMBIGUITY,
    SignedDuration::from_hours(-3),
];

/// The head of the list of the last updated orders, as it was at some time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watermark {
    pub(crate) ids: Vec<i64>,
    /// The latest moment at which one of them was updated, where rows tell.
    pub(crate) last_update: Option<Timestamp>,
    pub(crate) asked_at: Option<Timestamp>,
}

impl Watermark {
    pub(crate) fn of(page: &Page) -> Self {
        Self {
            ids: page.records.ids(),
            last_update: rows(&page.records).filter_map(|row| row.updated_at).max(),
            asked_at: Some(page.version),
        }
    }

    pub(crate) fn stored(&self) -> ChangeHead {
        ChangeHead {
            ids: self.ids.clone(),
            last_update: self.last_update,
            asked_at: self.asked_at,
        }
    }

    pub(crate) fn planned(probe: &PlanInputs) -> Self {
        Self {
            ids: probe.recently_updated.clone(),
            last_update: probe.last_update,
            asked_at: probe.recent_asked_at,
        }
    }

    /// Lets changes be read since then.
    pub(crate) fn plan(&self, probe: &mut PlanInputs) {
        probe.recently_updated.clone_from(&self.ids);
        probe.last_update = self.last_update;
        probe.recent_asked_at = self.asked_at;
    }

    /// Whether the last update may have been in the second in which this was asked for, as
    /// far as the clocks and the zones of Salla's dates can be trusted.
    pub(crate) fn may_share_its_second(&self) -> bool {
        let (Some(last), Some(asked_at)) = (self.last_update, self.asked_at) else {
            return self.last_update.is_some();
        };
        let ago = asked_at.duration_since(last);
        let may_be_now = |misread| (ago - misread).abs() <= MAX_CLOCK_SKEW;
        MISREADINGS.into_iter().any(may_be_now)
    }
}

impl From<ChangeHead> for Watermark {
    fn from(
        ChangeHead {
            ids,
            last_update,
            asked_at,
        }: ChangeHead,
    ) -> Self {
        Self {
            ids,
            last_update,
            asked_at,
        }
    }
}

/// An order as the list of the last updated shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpdatedRow {
    id: i64,
    /// Only where lists give whole orders.
    updated_at: Option<Timestamp>,
}

pub(crate) fn rows(records: &Records) -> impl Iterator<Item = UpdatedRow> {
    let orders: &[Decoded<Order>] = match records {
        Records::Orders(orders) => orders,
        _ => &[],
    };
    orders.iter().filter_map(|decoded| match &decoded.outcome {
        Ok(order) => Some(UpdatedRow {
            id: order.id,
            updated_at: order.updated_at.as_ref().map(|moment| moment.instant),
        }),
        Err(rejection) => Some(UpdatedRow {
            id: rejection.salla_id?,
            updated_at: None,
        }),
    })
}

/// Reads the present list page by page against the head of the former one.
#[derive(Debug)]
pub(crate) struct WatermarkSearch {
    /// Places in the former list.
    previous: HashMap<i64, usize>,
    last_update: Option<Timestamp>,
    /// More may have been updated in the second of the last update.
    shares_second: bool,
    seen: HashSet<i64>,
    /// The present list without repetitions.
    present: Vec<i64>,
    /// Orders that say that they were updated since.
    say_so: HashSet<i64>,
    /// The present list has come to orders that were updated before that second.
    is_past_second: bool,
    /// Number of orders of the present list that may have been updated since, by its sequence, as
    /// soon as it showed the former one.
    before_shown: Option<usize>,
    /// Number of orders before the first one that, by its date or its details, was certainly
    /// updated before the former list was read.
    before_previous: Option<usize>,
}

impl WatermarkSearch {
    pub(crate) fn since(previous: &Watermark) -> Self {
        let places = previous.ids.iter().enumerate();
        let shares_second = previous.may_share_its_second();
        Self {
            previous: places.map(|(place, id)| (*id, place)).collect(),
            last_update: previous.last_update,
            shares_second,
            seen: HashSet::new(),
            present: Vec::new(),
            say_so: HashSet::new(),
            is_past_second: !shares_second,
            before_shown: None,
            before_previous: None,
        }
    }

    /// Takes in the rows of the next page.
    pub(crate) fn read(&mut self, page: impl Iterator<Item = UpdatedRow>) {
        let mut oldest = None;
        for row in page {
            if let (Some(updated_at), Some(last)) = (row.updated_at, self.last_update) {
                if updated_at > last || (updated_at == last && self.shares_second) {
                    self.say_so.insert(row.id);
                }
                if last.duration_since(updated_at) > ZONE_AMBIGUITY {
                    self.before_previous.get_or_insert(self.present.len());
                }
            }
            if self.seen.insert(row.id) {
                self.present.push(row.id);
            }
            oldest = row.updated_at.or(oldest);
        }
        // A page that does not say when cannot tell more than the sequence does.
        self.is_past_second |= oldest.is_none() || oldest < self.last_update;
        self.before_shown = self.before_shown.or(self.by_sequence());
    }

    /// Whether the updated ones have certainly all been read: the former list has been
    /// reached, or what was updated before it, and so has its second.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_past_second && (self.before_shown.is_some() || self.before_previous.is_some())
    }

    /// Whether only the details of an order can tell whether the updated ones have been read.
    pub(crate) fn needs_details(&self) -> bool {
        self.last_update.is_none() && !self.is_complete()
    }

    /// Neither the order nor what stands behind it was updated.
    pub(crate) fn ends_before(&mut self, id: i64) {
        let place = self.present.iter().position(|present| *present == id);
        self.before_previous = self.before_previous.or(place);
    }

    /// The list as it was read, without repetitions.
    pub(crate) fn present(&self) -> &[i64] {
        &self.present
    }

    /// Whether no row that follows can tell any more where the updated ones end.
    pub(crate) fn is_lost(&self) -> bool {
        let all_are_seen = self.previous.keys().all(|id| self.seen.contains(id));
        self.last_update.is_none() && all_are_seen && self.before_shown.is_none()
    }

    /// The orders that may have been updated since. If in doubt they are among them.
    pub(crate) fn updated(&self) -> HashSet<i64> {
        // What was read further on may have shown that the sequence is another one; then
        // rows that say when are believed, and all others are in doubt.
        let shown_before = self.before_shown.filter(|_| self.last_update.is_some());
        let number = self
            .by_sequence()
            .or(shown_before)
            .or(self.before_previous)
            .unwrap_or(self.present.len());
        let first = self.present[..number].iter();
        first.chain(&self.say_so).copied().collect()
    }

    /// Those of them that stand where they stood.
    pub(crate) fn in_doubt(&self) -> &[i64] {
        let (start, end) = self.previous_part();
        &self.present[start..end.min(start + AMBIGUOUS_ORDERS)]
    }

    /// Number of orders of the present list that may have been updated since, if its end shows the
    /// former one.
    fn by_sequence(&self) -> Option<usize> {
        let (start, end) = self.previous_part();
        (end - start > AMBIGUOUS_ORDERS).then_some(start + AMBIGUOUS_ORDERS)
    }

    /// Where the present list shows the former one: from its last entry that the
    /// former one had, back as long as the places fall without a gap in the present.
    fn previous_part(&self) -> (usize, usize) {
        let place = |index: usize| self.previous.get(&self.present[index]);
        let Some(last) = (0..self.present.len()).rev().find(|i| place(*i).is_some()) else {
            return (self.present.len(), self.present.len());
        };
        let mut start = last;
        while start > 0 && place(start - 1).is_some_and(|before| Some(before) < place(start)) {
            start -= 1;
        }
        (start, last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn undated_head(ids: &[i64]) -> Watermark {
        Watermark {
            ids: ids.to_vec(),
            ..Watermark::default()
        }
    }

    fn undated(ids: &[i64]) -> impl Iterator<Item = UpdatedRow> {
        let row = |id: &i64| UpdatedRow {
            id: *id,
            updated_at: None,
        };
        ids.iter().map(row)
    }

    /// Orders that were updated at these seconds.
    fn dated(rows: &[(i64, i64)]) -> impl Iterator<Item = UpdatedRow> {
        rows.iter().map(|(id, second)| UpdatedRow {
            id: *id,
            updated_at: Timestamp::from_second(*second).ok(),
        })
    }

    #[test]
    fn what_stands_after_the_previous_list_in_its_own_second_was_updated() {
        let previous: Vec<i64> = (1..=9).collect();
        let mut recent = WatermarkSearch::since(&Watermark {
            ids: previous,
            last_update: Timestamp::from_second(50).ok(),
            asked_at: None,
        });
        recent.read(dated(&[
            (90, 51),
            (1, 50),
            (2, 50),
            (3, 50),
            (4, 50),
            (5, 50),
            (6, 50),
        ]));
        assert!(!recent.is_complete(), "more of that second may follow");
        recent.read(dated(&[(7, 50), (8, 50), (91, 50), (9, 49), (80, 48)]));
        assert!(recent.is_complete());
        let updated = recent.updated();
        assert!(
            updated.contains(&90) && updated.contains(&91),
            "{updated:?}"
        );
        assert!(!updated.contains(&80), "{updated:?}");
    }

    #[test]
    fn rows_without_a_date_are_recognized_by_their_sequence() {
        let mut recent = WatermarkSearch::since(&Watermark {
            last_update: Timestamp::from_second(50).ok(),
            ..undated_head(&[1, 2, 3, 4, 5, 6, 7, 8, 9])
        });
        recent.read(undated(&[90, 1, 2, 3, 4, 5, 6]));
        assert!(recent.is_complete());
    }

    fn page(version: i64, updated_at: Option<i64>) -> Page {
        use crate::ports::platform::Pagination;
        use domain::instant::{DateReading, SallaInstant};
        let instant = |second: i64| SallaInstant {
            instant: Timestamp::from_second(second).unwrap(),
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
        let decoded = Decoded {
            raw: "{}".into(),
            outcome: Ok(order),
        };
        Page {
            records: Records::Orders(vec![decoded]),
            pagination: Pagination {
                count: 1,
                total: 1,
                per_page: 60,
                current_page: 1,
                total_pages: 1,
            },
            version: Timestamp::from_second(version).unwrap(),
        }
    }

    #[test]
    fn only_an_update_of_about_now_may_share_its_second() {
        const HOUR: i64 = 3_600;
        for (updated_at, is_now) in [
            (10 * HOUR, true),
            (10 * HOUR - 240, true),
            (10 * HOUR + 240, true),
            // Named Riyadh and meant as UTC, or the other way round.
            (7 * HOUR + 1, true),
            (13 * HOUR - 1, true),
            (10 * HOUR - 400, false),
            (6 * HOUR, false),
            (9 * HOUR, false),
        ] {
            let head = Watermark::of(&page(10 * HOUR, Some(updated_at)));
            assert_eq!(head.may_share_its_second(), is_now, "{updated_at}");
        }
        assert!(!Watermark::of(&page(10 * HOUR, None)).may_share_its_second());
    }

    /// What stands before the part of the former list.
    fn before_previous(previous: &[i64], present: &[i64]) -> Vec<i64> {
        let mut recent = WatermarkSearch::since(&undated_head(previous));
        recent.read(undated(present));
        let (start, _) = recent.previous_part();
        let mut before = present[..start].to_vec();
        before.sort_unstable();
        before
    }

    #[test]
    fn the_head_of_the_previous_list_is_ambiguous() {
        let previous: Vec<i64> = (1..=9).collect();
        let mut recent = WatermarkSearch::since(&undated_head(&previous));
        recent.read(undated(&previous));
        assert_eq!(recent.updated(), (1..=5).collect());
    }

    #[test]
    fn what_stands_before_the_previous_list_was_updated() {
        let previous = [1, 2, 3, 4, 5, 6, 7];
        let table: [(&[i64], &[i64]); 7] = [
            (&[1, 2, 3, 4, 5, 6, 7], &[]),
            (&[90, 91, 1, 2, 3, 4, 5, 6, 7], &[90, 91]),
            // Updated again, so no longer in their former places.
            (&[3, 5, 1, 2, 4, 6, 7], &[3, 5]),
            (&[3, 5, 7, 1, 2, 4, 6], &[3, 5, 7]),
            // 1 and 2 were deleted.
            (&[90, 3, 4, 5, 6, 7], &[90]),
            (&[7, 6, 5, 4, 3, 2, 1], &[2, 3, 4, 5, 6, 7]),
            (&[90, 91], &[90, 91]),
        ];
        for (present, expected) in table {
            assert_eq!(before_previous(&previous, present), expected, "{present:?}");
        }
    }

    #[test]
    fn reading_continues_until_the_previous_list_shows() {
        let mut recent = WatermarkSearch::since(&undated_head(&[1, 2, 3, 4, 5, 6, 7]));
        recent.read(undated(&[90, 91, 92]));
        assert!(!recent.is_complete() && !recent.is_lost());
        recent.read(undated(&[92, 1, 2, 3]));
        assert!(!recent.is_complete(), "three may be chance");
        recent.read(undated(&[4, 5, 6]));
        assert!(recent.is_complete());
        assert_eq!(recent.updated(), [90, 91, 92, 1, 2, 3, 4, 5].into());
    }

    #[test]
    fn one_more_than_a_handful_in_sequence_is_enough() {
        let previous: Vec<i64> = (1..=9).collect();
        let mut recent = WatermarkSearch::since(&undated_head(&previous));
        recent.read(undated(&[90, 1, 2, 3, 4, 5]));
        assert!(!recent.is_complete(), "all of these are in doubt");
        recent.read(undated(&[6]));
        assert!(recent.is_complete());
    }

    /// All of it was updated again, and 90 before that.
    #[test]
    fn a_previous_list_that_is_gone_proves_nothing() {
        let mut recent = WatermarkSearch::since(&undated_head(&[1, 2, 3, 4, 5, 6, 7]));
        recent.read(undated(&[7, 6, 5, 4, 3, 2, 1, 90, 80]));
        assert!(!recent.is_complete() && recent.is_lost());
        let updated = recent.updated();
        assert!(
            updated.contains(&90) && updated.contains(&80),
            "{updated:?}"
        );
        let recent = WatermarkSearch::since(&Watermark::default());
        assert!(!recent.is_complete() && recent.is_lost());
    }

    #[test]
    fn rows_that_say_when_stand_in_for_a_former_list_that_is_gone() {
        const DAY: i64 = 86_400;
        let mut recent = WatermarkSearch::since(&Watermark {
            ids: (1..=7).collect(),
            last_update: Timestamp::from_second(DAY).ok(),
            asked_at: Timestamp::from_second(2 * DAY).ok(),
        });
        recent.read(dated(&[(7, DAY + 9), (1, DAY + 8), (90, DAY + 7)]));
        assert!(!recent.is_complete() && !recent.is_lost());
        // Salla's dates may be three hours off.
        recent.read(dated(&[(91, DAY - 3_600), (80, DAY - 4 * 3_600)]));
        assert!(recent.is_complete());
        assert_eq!(recent.updated(), [7, 1, 90, 91].into());
    }

    proptest! {
        /// Whatever is updated or deleted, nothing that was updated is missed, unless
        /// more than a handful was updated in just its former sequence.
        #[test]
        fn no_update_is_missed(
            touched in prop::collection::vec(0i64..30, 0..12),
            arrived in 0i64..5,
            deleted in prop::collection::hash_set(0i64..30, 0..5),
        ) {
            let previous: Vec<i64> = (0..30).collect();
            let mut present = previous.clone();
            for id in &touched {
                present.retain(|known| known != id);
                present.insert(0, *id);
            }
            for id in 0..arrived {
                present.insert(0, 100 + id);
            }
            present.retain(|id| !deleted.contains(id));
            let mut recent = WatermarkSearch::since(&undated_head(&previous));
            recent.read(undated(&present));
            let updated = recent.updated();
            for id in touched.iter().filter(|id| !deleted.contains(id)) {
                prop_assert!(updated.contains(id), "{} of {:?}", id, present);
            }
        }
    }
}
