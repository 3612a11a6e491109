//! Which orders were updated since a list of the last updated ones was read.
//!
//! List rows do not say when they were updated (FACTS §8), but the list can be sorted
//! by it. What was not updated since keeps its order, and everything that was stands
//! before it. So the updated ones end where the former list goes on.
//!
//! The list knows only seconds. What was updated in the second in which the former list
//! was read, but after it, may stand anywhere among what was updated in that second. Where
//! rows say when they were updated, everything of that second counts as updated.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::ports::platform::{Decoded, Page, Records};
use domain::order::Order;

/// The head of the former list may have been updated again in just its former
/// sequence, most likely the very first order alone. So many orders of it count as
/// updated, and only what comes after them as the former list.
const DOUBTFUL: usize = 5;

/// The orders that count as updated in any case, unless they are deleted, by the head of
/// the list as it was.
pub(crate) fn in_doubt(former: &[i64]) -> &[i64] {
    &former[..former.len().min(DOUBTFUL)]
}

/// Salla's clock and ours may be so far apart.
pub(crate) const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(5);

/// Some of Salla's dates are UTC although they say Riyadh (FACTS §11).
const MISREAD: SignedDuration = SignedDuration::from_hours(3);

/// When the first order on a page of the last updated was updated, if that may have been in
/// the second in which the page was asked for.
pub(crate) fn last_update(page: &Page) -> Option<Timestamp> {
    let last = rows(&page.records).filter_map(|row| row.updated_at).max()?;
    let ago = page.version.duration_since(last);
    let may_be_now = |misread| (ago - misread).abs() <= CLOCKS_APART;
    let is_now = [SignedDuration::ZERO, MISREAD, -MISREAD]
        .into_iter()
        .any(may_be_now);
    is_now.then_some(last)
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
pub(crate) struct Recent {
    /// Places in the former list.
    former: HashMap<i64, usize>,
    seen: HashSet<i64>,
    /// The present list without repetitions.
    present: Vec<i64>,
    /// The second in which the former list was read, if something was updated in it.
    second: Option<Timestamp>,
    /// Orders that were updated in that second or later.
    since_second: HashSet<i64>,
    /// The present list has come to orders that were updated before that second.
    is_past_second: bool,
}

impl Recent {
    /// `former`: the head of the list as it was, the last updated first. `last_update`: see
    /// the function of that name.
    pub(crate) fn since(former: &[i64], last_update: Option<Timestamp>) -> Self {
        let places = former.iter().enumerate().map(|(place, id)| (*id, place));
        Self {
            former: places.collect(),
            seen: HashSet::new(),
            present: Vec::new(),
            second: last_update,
            since_second: HashSet::new(),
            is_past_second: last_update.is_none(),
        }
    }

    /// Takes in the rows of the next page.
    pub(crate) fn read(&mut self, page: impl Iterator<Item = UpdatedRow>) {
        let mut oldest = None;
        for row in page {
            if self.seen.insert(row.id) {
                self.present.push(row.id);
            }
            if self.second.is_some() && row.updated_at >= self.second {
                self.since_second.insert(row.id);
            }
            oldest = row.updated_at.or(oldest);
        }
        // A page that does not say when cannot tell more than the sequence does.
        self.is_past_second |= oldest.is_none() || oldest < self.second;
    }

    /// Whether the updated ones have certainly all been read: the former list has been
    /// reached, or has been read past altogether, and so has its second.
    pub(crate) fn is_complete(&self) -> bool {
        let (start, end) = self.former_part();
        let is_reached = end - start > DOUBTFUL;
        self.is_past_second && (is_reached || self.former.keys().all(|id| self.seen.contains(id)))
    }

    /// The orders that may have been updated since. If in doubt they are among them.
    pub(crate) fn updated(&self) -> HashSet<i64> {
        let (start, end) = self.former_part();
        let certain = (start + DOUBTFUL).min(end);
        let by_sequence = self.present[..certain].iter();
        by_sequence.chain(&self.since_second).copied().collect()
    }

    /// Whether the former list had this order.
    pub(crate) fn was_there(&self, id: i64) -> bool {
        self.former.contains_key(&id)
    }

    /// Where the present list shows the former one: from its last entry that the
    /// former one had, back as long as the places fall without a gap in the present.
    fn former_part(&self) -> (usize, usize) {
        let place = |index: usize| self.former.get(&self.present[index]);
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
    fn what_stands_behind_the_former_list_in_its_own_second_was_updated() {
        let former: Vec<i64> = (1..=9).collect();
        let second = Timestamp::from_second(50).ok();
        let mut recent = Recent::since(&former, second);
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
    fn rows_that_do_not_say_when_are_told_by_their_sequence() {
        let former: Vec<i64> = (1..=9).collect();
        let mut recent = Recent::since(&former, Timestamp::from_second(50).ok());
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
            let found = last_update(&page(10 * HOUR, Some(updated_at)));
            let expected = is_now.then(|| Timestamp::from_second(updated_at).unwrap());
            assert_eq!(found, expected, "{updated_at}");
        }
        assert_eq!(last_update(&page(10 * HOUR, None)), None);
    }

    /// What stands before the part of the former list.
    fn before_former(former: &[i64], present: &[i64]) -> Vec<i64> {
        let mut recent = Recent::since(former, None);
        recent.read(undated(present));
        let (start, _) = recent.former_part();
        let mut before = present[..start].to_vec();
        before.sort_unstable();
        before
    }

    #[test]
    fn the_head_of_the_former_list_is_in_doubt() {
        let former: Vec<i64> = (1..=9).collect();
        let mut recent = Recent::since(&former, None);
        recent.read(undated(&former));
        assert_eq!(recent.updated(), (1..=5).collect());
    }

    #[test]
    fn what_stands_before_the_former_list_was_updated() {
        let former = [1, 2, 3, 4, 5, 6, 7];
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
            assert_eq!(before_former(&former, present), expected, "{present:?}");
        }
    }

    #[test]
    fn reading_goes_on_until_the_former_list_shows() {
        let mut recent = Recent::since(&[1, 2, 3, 4, 5, 6, 7], None);
        recent.read(undated(&[90, 91, 92]));
        assert!(!recent.is_complete());
        recent.read(undated(&[92, 1, 2, 3]));
        assert!(!recent.is_complete(), "three may be chance");
        recent.read(undated(&[4, 5, 6]));
        assert!(recent.is_complete());
        assert_eq!(recent.updated(), [90, 91, 92, 1, 2, 3, 4, 5].into());
    }

    #[test]
    fn one_more_than_a_handful_in_sequence_is_enough() {
        let former: Vec<i64> = (1..=9).collect();
        let mut recent = Recent::since(&former, None);
        recent.read(undated(&[90, 1, 2, 3, 4, 5]));
        assert!(!recent.is_complete(), "all of these are in doubt");
        recent.read(undated(&[6]));
        assert!(recent.is_complete());
        assert!(recent.was_there(6) && !recent.was_there(90));
    }

    #[test]
    fn without_a_former_list_nothing_is_awaited() {
        assert!(Recent::since(&[], None).is_complete());
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
            let former: Vec<i64> = (0..30).collect();
            let mut present = former.clone();
            for id in &touched {
                present.retain(|known| known != id);
                present.insert(0, *id);
            }
            for id in 0..arrived {
                present.insert(0, 100 + id);
            }
            present.retain(|id| !deleted.contains(id));
            let mut recent = Recent::since(&former, None);
            recent.read(undated(&present));
            let updated = recent.updated();
            for id in touched.iter().filter(|id| !deleted.contains(id)) {
                prop_assert!(updated.contains(id), "{} of {:?}", id, present);
            }
        }
    }
}
