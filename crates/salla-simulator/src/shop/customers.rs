//! The customers of a shop. They register evenly over time, beginning half a
//! year before the first order, so that "registered before that order" is a
//! division.

use super::draw::{Draw, Stream};
use super::layer::Layer;
use super::names::{CITIES, DISTRICTS, FIRST_NAMES, LAST_NAMES, STREETS, is_female};
use super::riyadh::{self, DAY_SECONDS};
use super::{Shop, first_not};
use std::ops::Range;

const HEAD_START: i64 = 180 * DAY_SECONDS;

#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) index: u64,
    pub(crate) id: i64,
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) female: bool,
    /// The number without its country code, as `mobile` has it.
    pub(crate) mobile: i64,
    pub(crate) city: (&'static str, &'static str),
    pub(crate) district: &'static str,
    pub(crate) street: &'static str,
    pub(crate) birthday: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) points: u32,
}

impl Customer {
    pub(crate) fn email(&self) -> String {
        format!("customer{}@mail.example", self.index + 1)
    }

    /// Shops spell cities and countries as their customers typed them.
    pub(crate) fn city_as_written(&self) -> &'static str {
        if self.index.is_multiple_of(4) {
            self.city.1
        } else {
            self.city.0
        }
    }

    pub(crate) fn country_code_as_written(&self) -> &'static str {
        if self.index.is_multiple_of(5) {
            "sa"
        } else {
            "SA"
        }
    }

    pub(crate) fn location(&self) -> String {
        format!("{}، {}", self.street, self.district)
    }
}

/// The customers of a shop together with what was changed while it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CustomerBook<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) layer: &'a Layer,
}

impl CustomerBook<'_> {
    pub(crate) fn index_of(&self, id: i64) -> Option<u64> {
        let index = self.shop.ids.customer.index(id)?;
        self.layer.is_listed(index).then_some(index)
    }

    /// The shop's own customers who registered in a stretch of time.
    pub(crate) fn own(&self, moments: &Range<i64>) -> Range<u64> {
        let position = |moment: i64| match moment {
            i64::MIN => 0,
            i64::MAX => self.shop.spec.customers,
            moment => self.shop.customers_before(moment),
        };
        position(moments.start)..position(moments.end)
    }

    /// All listed customers, the first to register first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        let own = 0..self.shop.spec.customers;
        self.layer.merged(own, i64::MIN..i64::MAX).numbers(0)
    }

    /// An edit moves the last name on, as if by marriage.
    pub(crate) fn customer(&self, index: u64) -> Customer {
        let moment = self.layer.moment_of_added(index);
        let mut customer = self.shop.customer(index, moment);
        if let Some(edit) = self.layer.edit_of(index) {
            let names = LAST_NAMES.iter().cycle();
            let mut from_hers = names.skip_while(|name| **name != customer.last_name);
            let steps = edit.steps as usize % LAST_NAMES.len();
            customer.last_name = from_hers.nth(steps).unwrap_or(&customer.last_name);
            customer.updated_at = edit.updated_at;
        }
        customer
    }
}

impl Shop {
    /// A customer as made; `moment` is when one registered who was added later.
    pub(crate) fn customer(&self, index: u64, moment: Option<i64>) -> Customer {
        let mut draw = Draw::of(self.spec.seed, Stream::Customer, index);
        let created_at = moment.unwrap_or_else(|| self.customer_created_at(index));
        let first_name = draw.below(FIRST_NAMES.len() as u64) as usize;
        let city = draw.pick(&CITIES);
        Customer {
            index,
            id: self.ids.customer.id(index),
            first_name: FIRST_NAMES[first_name],
            last_name: draw.pick(&LAST_NAMES),
            female: is_female(first_name),
            mobile: 500_000_000 + (index as i64 * 7_919 + 1_234) % 99_999_989,
            city: (city.0, city.1),
            district: draw.pick(&DISTRICTS),
            street: draw.pick(&STREETS),
            birthday: draw
                .chance(0.4)
                .then(|| riyadh::day_start(draw.below(15_000) as i64 - 2_000)),
            created_at,
            updated_at: (created_at + draw.below(200 * DAY_SECONDS as u64) as i64)
                .min(self.now.max(created_at)),
            points: draw.below(900) as u32,
        }
    }

    /// Ascends with the number, as orders do.
    pub(crate) fn customer_created_at(&self, index: u64) -> i64 {
        let (start, span) = self.customer_period();
        let place = index as f64 + Draw::of(self.spec.seed, Stream::Customer, !index).unit();
        start + (place / self.spec.customers as f64 * span as f64) as i64
    }

    /// How many customers registered before a moment.
    pub(crate) fn customers_before(&self, moment: i64) -> u64 {
        let is_earlier = |index| self.customer_created_at(index) < moment;
        first_not(0..self.spec.customers, is_earlier)
    }

    /// A customer who was registered by then, the long-standing ones more often.
    pub(crate) fn customer_of_order(&self, ordered_at: i64, draw: &mut Draw) -> Option<u64> {
        let skew = draw.unit();
        if self.spec.customers == 0 || draw.chance(self.spec.guests_share) {
            return None;
        }
        let (start, span) = self.customer_period();
        let share = (ordered_at - start) as f64 / span as f64;
        let registered = (share * self.spec.customers as f64) as u64;
        let choice = (registered as f64 * skew * skew.sqrt()) as u64;
        Some(choice.min(self.spec.customers - 1))
    }

    fn customer_period(&self) -> (i64, i64) {
        let start = self.calendar.first_moment() - HEAD_START;
        (start, self.now - start)
    }
}
