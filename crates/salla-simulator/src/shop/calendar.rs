//! When orders happen. A table with one entry per day says how many orders
//! came before it; the moment of an order inside its day follows from its
//! place and a hash. Numbers ascend with time, so a page of orders sorted by
//! creation is arithmetic and a date filter is a binary search.

use super::draw::{Draw, Stream};
use super::riyadh::{self, DAY_SECONDS};
use super::{BusyDay, first_not};
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

/// How busy each hour of a day in Riyadh is: quiet before dawn, two peaks.
const HOURS: [u32; 24] = [
    30, 20, 12, 8, 6, 6, 8, 12, 18, 26, 34, 40, 42, 40, 38, 40, 44, 50, 54, 58, 64, 70, 62, 46,
];

#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    seed: u64,
    first_day: i64,
    /// Entry `d` counts the orders before day `first_day + d`.
    before: Vec<u64>,
    now: i64,
}

impl Calendar {
    pub(crate) fn new(
        seed: u64,
        orders: u64,
        months: u32,
        now: i64,
        busy_day: Option<BusyDay>,
    ) -> Self {
        let today = riyadh::wall_clock(now).date();
        let first = today.saturating_sub(i64::from(months).months());
        let first_day = riyadh::number_of(first);
        let weights = weights(seed, first_day, now);
        let busy = busy_day.map_or(0, |busy| busy.orders.min(orders));
        let mut before = cumulative_counts(&weights, orders - busy);
        if let Some(busy_day) = busy_day {
            let ago = (busy_day.days_ago as usize).min(weights.len() - 1);
            let after_it = weights.len() - ago;
            before[after_it..]
                .iter_mut()
                .for_each(|count| *count += busy);
        }
        Self {
            seed,
            first_day,
            before,
            now,
        }
    }

    pub(crate) fn orders(&self) -> u64 {
        self.before.last().copied().unwrap_or(0)
    }

    pub(crate) fn first_moment(&self) -> i64 {
        riyadh::day_start(self.first_day)
    }

    /// When order number `index` was placed, in epoch seconds. It never falls
    /// as the number rises.
    pub(crate) fn created_at(&self, index: u64) -> i64 {
        let day = self.before.partition_point(|before| *before <= index) - 1;
        self.moment_in_day(day, index)
    }

    /// The number of the first order placed at `moment` or later.
    pub(crate) fn first_at_or_after(&self, moment: i64) -> u64 {
        let day = riyadh::day_number(moment) - self.first_day;
        let Ok(day) = usize::try_from(day) else {
            return 0;
        };
        if day + 1 >= self.before.len() {
            return self.orders();
        }
        first_not(self.before[day]..self.before[day + 1], |index| {
            self.moment_in_day(day, index) < moment
        })
    }

    fn moment_in_day(&self, day: usize, index: u64) -> i64 {
        let start = riyadh::day_start(self.first_day + day as i64);
        let day_length = (self.now - start).clamp(1, DAY_SECONDS);
        let orders_in_day = self.before[day + 1] - self.before[day];
        let place = (index - self.before[day]) as f64
            + Draw::of(self.seed, Stream::OrderMoment, index).unit();
        let second = second_of_day(place / orders_in_day as f64, day_length);
        start + second.min(day_length - 1)
    }
}

/// Maps a place in the day's queue (0 to 1) to a second: monotone, and steeper
/// where the hour is quiet.
fn second_of_day(place: f64, day_length: i64) -> i64 {
    let total: f64 = busyness_until(day_length);
    let mut left = place * total;
    for (hour, weight) in HOURS.iter().enumerate() {
        let weight = f64::from(*weight);
        if left < weight {
            return hour as i64 * 3600 + (left / weight * 3600.0) as i64;
        }
        left -= weight;
    }
    DAY_SECONDS - 1
}

fn busyness_until(second: i64) -> f64 {
    let hour = (second / 3600) as usize;
    let full: u32 = HOURS.iter().take(hour).sum();
    let part = HOURS.get(hour).copied().unwrap_or(0);
    f64::from(full) + f64::from(part) * (second % 3600) as f64 / 3600.0
}

fn weights(seed: u64, first_day: i64, now: i64) -> Vec<f64> {
    let today = riyadh::day_number(now);
    let days = (today - first_day + 1) as f64;
    (first_day..=today)
        .map(|day| {
            let growth = 0.8 + 0.4 * (day - first_day) as f64 / days;
            let noise = 0.85 + 0.3 * Draw::of(seed, Stream::DayNoise, day as u64).unit();
            let date = riyadh::date_of(day);
            let part_of_day = if day == today {
                busyness_until(now - riyadh::day_start(day)) / busyness_until(DAY_SECONDS)
            } else {
                1.0
            };
            growth * noise * weekday_factor(date) * season_factor(date) * part_of_day
        })
        .collect()
}

/// Rounds the running sum and not each day, so that the days add up exactly.
fn cumulative_counts(weights: &[f64], orders: u64) -> Vec<u64> {
    let total: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let mut before = Vec::with_capacity(weights.len() + 1);
    before.push(0);
    for weight in weights {
        sum += weight;
        before.push((orders as f64 * (sum / total)).round() as u64);
    }
    if let Some(last) = before.last_mut() {
        *last = orders;
    }
    before
}

/// The weekend is Friday and Saturday, and people shop on its eve.
fn weekday_factor(date: Date) -> f64 {
    match date.weekday() {
        Weekday::Thursday => 1.2,
        Weekday::Friday => 1.3,
        Weekday::Saturday => 1.1,
        Weekday::Sunday => 0.85,
        _ => 0.9,
    }
}

fn season_factor(date: Date) -> f64 {
    match (date.month(), date.day()) {
        (11, 22..) => 2.8,
        (9, 21..=24) => 1.6,
        (2, 20..=23) => 1.3,
        _ => ramadan_factor(date),
    }
}

/// Ramadan comes about eleven days earlier each year; for a load profile the
/// mean drift from 2025-03-01 is near enough.
fn ramadan_factor(date: Date) -> f64 {
    let years = i64::from(date.year()) - 2025;
    let start = riyadh::number_of(Date::constant(2025, 3, 1)) + years * 365 - years * 87 / 8;
    match riyadh::number_of(date) - start {
        -7..=-1 => 1.3,
        0..=19 => 1.45,
        20..=29 => 1.9,
        30..=33 => 0.6,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_749_978_000;

    #[test]
    fn orders_ascend_and_stay_inside_the_period() {
        let calendar = Calendar::new(3, 5_000, 24, NOW, None);
        let moments: Vec<i64> = (0..5_000).map(|index| calendar.created_at(index)).collect();
        assert!(moments.is_sorted());
        assert!(moments[0] >= calendar.first_moment());
        assert!(*moments.last().unwrap() < NOW);
    }

    proptest! {
        #[test]
        fn the_search_agrees_with_counting(seed: u64, offset in -40_000_000i64..40_000_000, orders in 0u64..800) {
            let calendar = Calendar::new(seed, orders, 12, NOW, None);
            let moment = NOW + offset;
            let counted = (0..orders).filter(|index| calendar.created_at(*index) < moment).count();
            prop_assert_eq!(calendar.first_at_or_after(moment), counted as u64);
        }
    }

    #[test]
    fn a_busy_day_has_its_orders_and_the_shop_no_more_than_before() {
        for days_ago in [0, 100, 9_999] {
            let busy = BusyDay {
                days_ago,
                orders: 3_000,
            };
            let calendar = Calendar::new(3, 5_000, 12, NOW, Some(busy));
            let day = (riyadh::day_number(NOW) - i64::from(days_ago)).max(calendar.first_day);
            let of_day = calendar.first_at_or_after(riyadh::day_start(day + 1))
                - calendar.first_at_or_after(riyadh::day_start(day));
            assert!((3_000..3_050).contains(&of_day), "{of_day}");
            assert_eq!(calendar.orders(), 5_000);
        }
    }

    #[test]
    fn late_november_is_busier_than_early_november() {
        let calendar = Calendar::new(3, 100_000, 12, NOW, None);
        let count = |from: Date, to: Date| {
            calendar.first_at_or_after(riyadh::day_start(riyadh::number_of(to)))
                - calendar.first_at_or_after(riyadh::day_start(riyadh::number_of(from)))
        };
        let early = count(Date::constant(2024, 11, 1), Date::constant(2024, 11, 8));
        let late = count(Date::constant(2024, 11, 23), Date::constant(2024, 11, 30));
        assert!(late > 2 * early, "{late} against {early}");
    }
}
