//! The simulated shop: computed from a seed, never stored. Any record is a
//! function of `(seed, number)`, so a shop of half a million orders costs a
//! table with one entry per day.

mod calendar;
mod customers;
mod draw;
pub(crate) mod invalid;
mod layer;
mod merged;
mod money;
mod names;
mod options;
mod order_book;
mod orders;
mod products;
pub(crate) mod riyadh;
mod scramble;
mod spec;
mod statuses;

pub(crate) use customers::{Customer, CustomerBook};
pub(crate) use draw::{Draw, Stream, mix};
pub(crate) use layer::{Edit, Layer, Overlay};
pub(crate) use merged::{Merged, Position};
pub use money::Currency;
pub(crate) use money::Money;
pub(crate) use names::{CITIES, COURIERS};
pub(crate) use options::OptionKind;
pub(crate) use order_book::OrderBook;
pub use orders::Untold;
pub(crate) use orders::{Item, Order, OrderHead};
pub(crate) use products::{Category, Product, ProductBook, Variant};
pub(crate) use scramble::{IdSpace, Scramble};
pub use spec::{BusyDay, CurrencyShare, CustomStatus, DEFAULT_NOW, Gaps, Plan, Repeats, ShopSpec};
pub use statuses::Original;

use calendar::Calendar;
use std::ops::Range;

/// The first number of an ascending range that `is_earlier` does not hold for.
fn first_not(mut range: Range<u64>, is_earlier: impl Fn(u64) -> bool) -> u64 {
    while range.start < range.end {
        let middle = range.start + (range.end - range.start) / 2;
        match is_earlier(middle) {
            true => range.start = middle + 1,
            false => range.end = middle,
        }
    }
    range.start
}

#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) spec: ShopSpec,
    /// The merchant's id, which `store/info` calls `id`.
    pub(crate) id: i64,
    pub(crate) calendar: Calendar,
    pub(crate) ids: Ids,
    /// The moment of the spec, in epoch seconds.
    pub(crate) now: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Ids {
    pub(crate) order: Scramble,
    pub(crate) item: Scramble,
    pub(crate) customer: Scramble,
    pub(crate) product: Scramble,
    pub(crate) variant: Scramble,
    pub(crate) option: Scramble,
    pub(crate) option_value: Scramble,
    pub(crate) category: Scramble,
    pub(crate) custom_status: Scramble,
    pub(crate) other: Scramble,
}

impl Shop {
    /// `number` distinguishes the shops of one platform.
    pub(crate) fn new(spec: ShopSpec, platform_seed: u64, number: u64) -> Self {
        let seed = spec.seed;
        let now = spec.now.as_second();
        Self {
            id: Scramble::new(platform_seed, IdSpace::Other).id(number),
            calendar: Calendar::new(seed, spec.orders, spec.months, now, spec.busy_day),
            ids: Ids::new(seed),
            now,
            spec,
        }
    }
}

/// What of a record's lists comes more than once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    pub(crate) id: bool,
    pub(crate) copy: bool,
}

impl Shop {
    /// `record` is unique among orders and products.
    pub(crate) fn repeated(&self, record: u64) -> Repeated {
        let repeats = self.spec.repeats;
        let mut draw = Draw::of(self.spec.seed, Stream::RepeatedEntries, record);
        Repeated {
            id: draw.chance(repeats.ids),
            copy: draw.chance(repeats.copies),
        }
    }
}

impl Ids {
    fn new(seed: u64) -> Self {
        let of = |space| Scramble::new(seed, space);
        Self {
            order: of(IdSpace::Order),
            item: of(IdSpace::Item),
            customer: of(IdSpace::Customer),
            product: of(IdSpace::Product),
            variant: of(IdSpace::Variant),
            option: of(IdSpace::Option),
            option_value: of(IdSpace::OptionValue),
            category: of(IdSpace::Category),
            custom_status: of(IdSpace::CustomStatus),
            other: of(IdSpace::Other),
        }
    }
}
