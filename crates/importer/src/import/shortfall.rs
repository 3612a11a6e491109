//! Which windows lack orders, found by counting several windows with one request.
//!
//! What the older half of some windows does not lack, the newer half does. So one order that is
//! gone costs about as many requests as the number of windows can be halved. Where
//! halving could cost more requests than there are windows, they are compared one by one.

use std::collections::BTreeSet;
use std::ops::Range;

/// A search among windows that follow each other, the oldest first.
#[derive(Debug)]
pub(super) struct ShortfallSearch {
    /// How many orders each window should have; those that were compared, how many they have.
    expected: Vec<u64>,
    compared: BTreeSet<usize>,
    /// Windows in which orders are missing, and how many.
    open: Vec<(Range<usize>, u64)>,
    /// Windows of which the older half is being counted, with the place where the newer begins.
    halved: Option<(Range<usize>, usize, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Count these windows with one request and report it to [`ShortfallSearch::counted`].
    Count(Range<usize>),
    /// Compare each of these windows with its list and report it to
    /// [`ShortfallSearch::compared`].
    Compare(Vec<usize>),
}

impl ShortfallSearch {
    pub(super) fn new(expected: Vec<u64>, missing: u64) -> Self {
        Self {
            open: vec![(0..expected.len(), missing)],
            expected,
            compared: BTreeSet::new(),
            halved: None,
        }
    }

    /// Whether a search takes no more requests than comparing each window: with those for
    /// windows that are compared before it begins, and one that confirms what it has found.
    pub(super) fn is_worth_it(windows: usize, missing: u64, compared: usize) -> bool {
        let others = compared as u64 + 1;
        max_requests(windows, missing).saturating_add(others) <= windows as u64
    }

    /// Nothing once all that is missing is in windows that were compared.
    pub(super) fn next(&mut self) -> Option<Next> {
        while let Some((mut windows, missing)) = self.open.pop() {
            let is_compared = |place: usize| self.compared.contains(&place);
            while !windows.is_empty() && is_compared(windows.start) {
                windows.start += 1;
            }
            while !windows.is_empty() && is_compared(windows.end - 1) {
                windows.end -= 1;
            }
            if missing == 0 || windows.is_empty() {
                continue;
            }
            if windows.len() == 1 || max_requests(windows.len(), missing) > windows.len() as u64 {
                let places = windows.filter(|place| !is_compared(*place));
                return Some(Next::Compare(places.collect()));
            }
            let middle = windows.start + windows.len() / 2;
            let older = windows.start..middle;
            if older.len() == 1 {
                // Comparing it counts it as well.
                self.open.push((windows, missing));
                return Some(Next::Compare(older.collect()));
            }
            self.halved = Some((windows, middle, missing));
            return Some(Next::Count(older));
        }
        None
    }

    /// The windows last asked for have that many orders together. If they cannot, the search
    /// ends: the shop has changed, or Salla's numbers do not add up.
    pub(super) fn counted(&mut self, orders: u64) {
        let Some((windows, middle, missing)) = self.halved.take() else {
            return;
        };
        let (older, newer) = (windows.start..middle, middle..windows.end);
        let expected: u64 = self.expected[older.clone()].iter().sum();
        let lacking = expected.checked_sub(orders);
        match lacking.and_then(|lacking| Some((lacking, missing.checked_sub(lacking)?))) {
            Some((lacking, rest)) => self.open.extend([(newer, rest), (older, lacking)]),
            None => self.open.clear(),
        }
    }

    /// A window has that many orders.
    pub(super) fn compared(&mut self, place: usize, orders: u64) {
        let lacking = self.expected[place].saturating_sub(orders);
        for (windows, missing) in &mut self.open {
            if windows.contains(&place) {
                *missing = missing.saturating_sub(lacking);
            }
        }
        self.expected[place] = orders;
        self.compared.insert(place);
    }
}

/// How many requests a search takes at most: each missing order may lead to another window, and
/// the ways to these windows begin together.
fn max_requests(windows: usize, missing: u64) -> u64 {
    let levels = windows.next_power_of_two().ilog2();
    let counts = (0..levels).map(|level| missing.min(1 << level));
    counts.sum::<u64>().saturating_add(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORDERS: u64 = 10;

    /// The windows that were compared, and how many requests that took. Those that are `changed`
    /// are compared first.
    fn search(lacking: &[u64], changed: &[usize]) -> (BTreeSet<usize>, usize) {
        let expected = vec![ORDERS; lacking.len()];
        let mut search = ShortfallSearch::new(expected, lacking.iter().sum());
        let mut requests = 0;
        for place in changed {
            requests += 1;
            search.compared(*place, ORDERS - lacking[*place]);
        }
        while let Some(next) = search.next() {
            match next {
                Next::Compare(windows) => {
                    requests += windows.len();
                    for place in windows {
                        search.compared(place, ORDERS - lacking[place]);
                    }
                }
                Next::Count(windows) => {
                    requests += 1;
                    search.counted(windows.map(|place| ORDERS - lacking[place]).sum());
                }
            }
        }
        (search.compared, requests)
    }

    #[test]
    fn one_missing_order_costs_as_many_requests_as_the_windows_can_be_halved() {
        for place in 0..24 {
            let mut lacking = [0; 24];
            lacking[place] = 1;
            let (compared, requests) = search(&lacking, &[]);
            assert!(compared.contains(&place) && requests <= 6, "{requests}");
            // A window that has to be compared in any case may be it.
            let (_, requests) = search(&lacking, &[place]);
            assert_eq!(requests, 1);
        }
    }

    #[test]
    fn few_windows_or_many_missing_orders_are_not_worth_a_search() {
        for (windows, missing, changed, is_worth_it) in [
            (1, 1, 0, false),
            (3, 1, 0, false),
            (4, 1, 0, true),
            (24, 1, 0, true),
            (24, 1, 18, false),
            (24, 5, 0, true),
            (24, 6, 0, false),
            (24, u64::MAX, 0, false),
            (256, 60, 0, true),
        ] {
            let found = ShortfallSearch::is_worth_it(windows, missing, changed);
            assert_eq!(found, is_worth_it, "{missing} in {windows}, {changed}");
        }
    }

    #[test]
    fn numbers_that_do_not_add_up_end_the_search() {
        // More lacking than is missing, or more than should be there.
        for orders in [117, 121] {
            let mut search = ShortfallSearch::new(vec![ORDERS; 24], 2);
            assert_eq!(search.next(), Some(Next::Count(0..12)));
            search.counted(orders);
            assert_eq!(search.next(), None, "{orders}");
        }
    }

    proptest! {
        #[test]
        fn every_window_that_lacks_orders_is_compared_for_at_most_one_request_each(
            windows in 2usize..300,
            missing in proptest::collection::vec((0usize..300, 1u64..4), 1..12),
            changed in proptest::collection::btree_set(0usize..300, 0..5),
        ) {
            let mut lacking = vec![0; windows];
            for (place, orders) in missing {
                let lacking = &mut lacking[place % windows];
                *lacking = (*lacking + orders).min(ORDERS);
            }
            let changed: BTreeSet<usize> = changed.iter().map(|place| place % windows).collect();
            let changed: Vec<usize> = changed.into_iter().collect();
            let is_worth_it =
                ShortfallSearch::is_worth_it(windows, lacking.iter().sum(), changed.len());
            let (compared, requests) = search(&lacking, &changed);
            if is_worth_it {
                prop_assert!(requests < windows, "{requests} of {windows}");
            }
            for (window, orders) in lacking.iter().enumerate() {
                prop_assert!(*orders == 0 || compared.contains(&window));
            }
        }
    }
}
