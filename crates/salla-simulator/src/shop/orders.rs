//! An order as it was meant, before any oddity of the wire: the one source of
//! both what the lists show and what the truth says.

use super::draw::{Draw, Stream};
use super::money::{Currency, Money};
use super::names::{COUPONS, COURIERS};
use super::products::{Product, Variant};
use super::riyadh::DAY_SECONDS;
use super::statuses::Original;
use super::{Shop, riyadh};
use serde::Serialize;

/// Room for every item of an order in the numbering of items.
const ITEM_SLOTS: u64 = 8;

const FIRST_REFERENCE: i64 = 40_000_000;

/// What is known of an order without pricing its items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderHead {
    pub(crate) index: u64,
    pub(crate) id: i64,
    pub(crate) reference_id: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) status: Original,
    /// The place of a customised status in the shop's list of them.
    pub(crate) custom_status: Option<usize>,
    pub(crate) currency: Currency,
    pub(crate) payment_method: &'static str,
    pub(crate) customer: Option<u64>,
    pub(crate) untold: Untold,
}

/// What the wire leaves out of an order, although it is as the truth says (see `Gaps`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Untold {
    pub slug: bool,
    pub status_id: bool,
    pub total: bool,
    pub rate: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) head: OrderHead,
    pub(crate) items: Vec<Item>,
    pub(crate) sub_total: Money,
    pub(crate) shipping: Money,
    pub(crate) cash_on_delivery: Money,
    pub(crate) discount: Money,
    pub(crate) coupon: Option<&'static str>,
    pub(crate) tax_percent: u32,
    pub(crate) tax: Money,
    pub(crate) total: Money,
    pub(crate) courier: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) id: i64,
    pub(crate) slot: u64,
    pub(crate) product: Product,
    pub(crate) product_deleted: bool,
    /// The wire does not name the product.
    pub(crate) is_unnamed: bool,
    /// The wire has the quantity as a negative number.
    pub(crate) is_returned: bool,
    pub(crate) variant: Option<Variant>,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
    pub(crate) discount: Money,
    pub(crate) tax: Money,
    /// Price times quantity, before discount and tax, as in Salla's samples.
    pub(crate) total: Money,
}

impl Item {
    pub(crate) fn wire_quantity(&self) -> i64 {
        let quantity = i64::from(self.quantity);
        if self.is_returned {
            -quantity
        } else {
            quantity
        }
    }

    pub(crate) fn sku(&self) -> super::products::Sku {
        self.variant
            .as_ref()
            .map_or_else(|| self.product.sku(), |variant| variant.sku)
    }
}

impl Shop {
    /// The number of the order that could have this reference.
    pub(super) fn index_of_reference(&self, reference_id: i64) -> Option<u64> {
        let since_first = reference_id.checked_sub(FIRST_REFERENCE)?;
        // Any number may be asked for; no shop has more orders than this.
        let index = u64::from(u32::try_from(since_first / 3).ok()?);
        (self.reference_id(index) == reference_id).then_some(index)
    }

    fn reference_id(&self, index: u64) -> i64 {
        let mut draw = Draw::of(self.spec.seed, Stream::OrderMoment, !index);
        FIRST_REFERENCE + 3 * index as i64 + draw.below(3) as i64
    }

    pub(super) fn order_head(&self, index: u64, created_at: i64) -> OrderHead {
        let mut draw = Draw::of(self.spec.seed, Stream::OrderHead, index);
        let age = self.now - created_at;
        let currency = self.currency(&mut draw);
        let status = Original::for_age(age, &mut draw);
        let customer = self.customer_of_order(created_at, &mut draw);
        // Young orders have been settling for as long as they are there.
        let settled_for = age.clamp(0, 10 * DAY_SECONDS - 1) + 1;
        let settling = draw.below(settled_for as u64) as i64;
        OrderHead {
            index,
            id: self.ids.order.id(index),
            reference_id: self.reference_id(index),
            created_at,
            updated_at: created_at + settling,
            status,
            custom_status: self.custom_status(status, &mut draw),
            currency,
            payment_method: payment_method(status, currency, &mut draw),
            customer,
            untold: self.untold(index),
        }
    }

    fn untold(&self, order: u64) -> Untold {
        let gaps = self.spec.gaps;
        let mut draw = Draw::of(self.spec.seed, Stream::Gap, order);
        let slug = draw.chance(gaps.slugs);
        Untold {
            slug,
            status_id: draw.chance(gaps.status_ids) && slug,
            total: draw.chance(gaps.totals),
            rate: draw.chance(gaps.rates),
        }
    }

    fn currency(&self, draw: &mut Draw) -> Currency {
        let mut place = draw.unit();
        for foreign in &self.spec.currencies {
            if place < foreign.share {
                return foreign.currency;
            }
            place -= foreign.share;
        }
        Currency::Sar
    }

    /// Half of the orders whose status the merchant has renamed carry his name.
    fn custom_status(&self, status: Original, draw: &mut Draw) -> Option<usize> {
        let wanted = draw.chance(0.5);
        let place = self
            .spec
            .custom_statuses
            .iter()
            .position(|custom| custom.original == status)?;
        wanted.then_some(place)
    }

    /// `extra` is what was added to the quantity of the first item.
    pub(super) fn price(&self, head: OrderHead, extra: u32) -> Order {
        let mut draw = Draw::of(self.spec.seed, Stream::OrderBody, head.index);
        let currency = head.currency;
        let terms = Terms::of(currency, &mut draw);
        let coupon = draw.pick(&COUPONS);
        let shipping = shipping(&mut draw);
        let cash_on_delivery = cash_on_delivery(&head, &mut draw);
        let courier = draw.below(COURIERS.len() as u64) as usize;
        let count = draw.weighted(&[(45, 1), (25, 2), (14, 3), (8, 4), (5, 5), (3, 6)]);
        let mut items: Vec<Item> = (0..count)
            .map(|place| {
                let extra = if place == 0 { extra } else { 0 };
                self.item(head.index, place, terms, extra, &mut draw)
            })
            .collect();
        self.repeat_items(head.index, &mut items);
        let mut order = Order {
            head,
            sub_total: items.iter().map(|item| item.total).sum(),
            shipping: currency.exchange(shipping),
            cash_on_delivery: currency.exchange(cash_on_delivery),
            discount: items.iter().map(|item| item.discount).sum(),
            coupon: (terms.discount_percent > 0).then_some(coupon),
            tax_percent: terms.tax_percent,
            tax: items.iter().map(|item| item.tax).sum(),
            total: Money::ZERO,
            courier,
            items,
        };
        order.add_up(terms);
        order
    }

    /// The same article may stand in an order twice.
    fn repeat_items(&self, order: u64, items: &mut Vec<Item>) {
        let repeated = self.repeated(order);
        if repeated.id && items.len() > 1 {
            items[1].id = items[0].id;
        }
        if repeated.copy {
            items.extend(items.last().cloned());
        }
    }

    fn item(&self, order: u64, place: u64, terms: Terms, extra: u32, draw: &mut Draw) -> Item {
        let product = self.product(self.product_of_item(order, draw));
        let variants = product.variant_count();
        let variant = (variants > 0).then(|| product.variant(draw.below(variants)));
        let quantity = draw.weighted(&[(70, 1), (18, 2), (7, 3), (3, 5), (2, 10)]) + extra;
        let riyals = variant
            .as_ref()
            .map_or(product.price, |variant| variant.price);
        let unit_price = terms.currency.exchange(riyals);
        let total = unit_price.times(quantity);
        let discount = total.percent(terms.discount_percent, terms.currency);
        let slot = order * ITEM_SLOTS + place;
        let gaps = self.spec.gaps;
        let mut gap = Draw::of(self.spec.seed, Stream::Gap, !slot);
        Item {
            id: self.ids.item.id(slot),
            slot,
            product_deleted: self.is_deleted_product(product.index),
            is_unnamed: gap.chance(gaps.products),
            is_returned: gap.chance(gaps.returns),
            product,
            variant,
            quantity,
            unit_price,
            discount,
            tax: (total - discount).percent(terms.tax_percent, terms.currency),
            total,
        }
    }
}

#[derive(Clone, Copy)]
struct Terms {
    currency: Currency,
    tax_percent: u32,
    discount_percent: u32,
}

impl Terms {
    /// Exports carry no Saudi value-added tax.
    fn of(currency: Currency, draw: &mut Draw) -> Self {
        Self {
            currency,
            tax_percent: if currency == Currency::Sar { 15 } else { 0 },
            discount_percent: draw.weighted(&[(80, 0), (6, 5), (7, 10), (4, 15), (3, 20)]),
        }
    }
}

impl Order {
    /// `total = sub_total + shipping + cash on delivery + tax − discounts`
    /// holds in Salla's full sample, and the tax covers the delivery as well.
    fn add_up(&mut self, terms: Terms) {
        let services = self.shipping + self.cash_on_delivery;
        self.tax += services.percent(terms.tax_percent, terms.currency);
        self.total = self.sub_total + services + self.tax - self.discount;
    }

    pub(crate) fn grams(&self) -> u32 {
        self.items
            .iter()
            .map(|item| item.product.grams * item.quantity)
            .sum()
    }

    pub(crate) fn day(&self) -> i64 {
        riyadh::day_number(self.head.created_at)
    }
}

/// In riyals.
fn shipping(draw: &mut Draw) -> Money {
    draw.weighted(&[
        (3, Money::ZERO),
        (3, Money::units(15)),
        (3, Money::units(20)),
        (2, Money(28_500)),
        (1, Money(13_040)),
    ])
}

/// In riyals.
fn cash_on_delivery(head: &OrderHead, draw: &mut Draw) -> Money {
    let fee = draw.weighted(&[(2, Money::units(15)), (1, Money(17_250))]);
    if head.payment_method == "cod" {
        fee
    } else {
        Money::ZERO
    }
}

fn payment_method(status: Original, currency: Currency, draw: &mut Draw) -> &'static str {
    let method = draw.weighted(&[
        (26, "mada"),
        (22, "cod"),
        (18, "credit_card"),
        (18, "apple_pay"),
        (5, "tamara_installment"),
        (5, "tabby_installment"),
        (3, "stc_pay"),
        (2, "bank"),
        (1, "google_pay"),
    ]);
    match (status, currency) {
        (Original::PaymentPending, _) => "waiting",
        (_, Currency::Sar) => method,
        // There is no cash on delivery abroad.
        _ if method == "cod" => "credit_card",
        _ => method,
    }
}
