//! The groups of fields that the forms of an order share.

use super::customer;
use super::view::View;
use super::writer::{Json, push_arabic};
use crate::shop::{Currency, Money, Order, OrderHead, Original};
use std::fmt;

/// Pictures and links are made from numbers and lead nowhere.
pub(super) struct Thumbnail(pub(super) u64);

impl fmt::Display for Thumbnail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "https://cdn.salla.example/images/{:012x}-500x500.jpg",
            self.0.wrapping_mul(0x9E37_79B9_7F4B)
        )
    }
}

pub(super) fn exchange_rate(json: &mut Json, head: &OrderHead) {
    let currency = head.currency;
    if currency != Currency::Sar && !head.untold.rate {
        json.object("exchange_rate", |json| {
            json.text("base_currency", "SAR");
            json.text("exchange_currency", currency.code());
            json.raw("rate", currency.rate());
        });
    }
}

/// `status.id` is the original's; `customized` is the shop's own or nothing.
pub(super) fn status(json: &mut Json, view: View<'_>, head: &OrderHead) {
    json.object("status", |json| {
        if !head.untold.status_id {
            json.int("id", head.status.id());
        }
        json.text("name", view.status_name(head.status));
        if !head.untold.slug {
            json.text("slug", head.status.slug());
        }
        match head.custom_status {
            Some(place) => json.object("customized", |json| {
                json.int("id", view.shop.ids.custom_status.id(place as u64));
                json.text("name", &view.shop.spec.custom_statuses[place].name);
            }),
            None => json.nothing("customized"),
        }
    });
}

pub(super) fn can_cancel_and_reorder(json: &mut Json, status: Original) {
    json.bool("can_cancel", status == Original::UnderReview);
    json.bool("can_reorder", true);
}

pub(super) fn pending_payment(json: &mut Json, status: Original) {
    json.bool("is_pending_payment", status == Original::PaymentPending);
    json.loose_int("pending_payment_ends_at", 0);
}

pub(super) fn urls(json: &mut Json, view: View<'_>, head: &OrderHead) {
    let (shop, id) = (view.shop.id, head.id);
    json.object("urls", |json| {
        json.display(
            "customer",
            format_args!("https://salla.sa/dev-{shop}/order/{id:x}"),
        );
        json.display("admin", format_args!("/orders/order/{id:x}"));
        json.display(
            "rating",
            format_args!(
                "https://salla.sa/dev-{shop}/rating/{id}?signature={:032x}",
                u128::from(id as u64) << 40
            ),
        );
    });
}

const USER_AGENT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) \
    AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

pub(super) fn source(json: &mut Json, head: &OrderHead) {
    json.text("source", "store");
    json.object("source_details", |json| {
        json.text("type", "direct");
        json.nothing("value");
        json.text("device", "desktop");
        json.text("user-agent", USER_AGENT);
        json.display("ip", format_args!("192.0.2.{}", head.index % 254 + 1));
    });
}

pub(super) fn amounts(json: &mut Json, order: &Order) {
    let currency = order.head.currency;
    json.object("amounts", |json| {
        json.money("sub_total", order.sub_total, currency);
        json.money("shipping_cost", order.shipping, currency);
        json.money("cash_on_delivery", order.cash_on_delivery, currency);
        json.object("tax", |json| {
            json.display("percent", format_args!("{}.00", order.tax_percent));
            json.money("amount", order.tax, currency);
        });
        json.array("discounts", order.coupon, |json, code| {
            discount(json, order, code)
        });
        order_total(json, order);
    });
}

pub(super) fn order_total(json: &mut Json, order: &Order) {
    match order.head.untold.total {
        true => json.raw("total", "null"),
        false => json.main_money("total", order.total, order.head.currency),
    }
}

/// `discount` is a string although every other amount is a number.
fn discount(json: &mut Json, order: &Order, code: &str) {
    json.open();
    json.constant(r#""title":"قسيمة تخفيض","type":"normal""#);
    json.text("code", code);
    json.display("discount", Fixed(order.discount));
    json.text("currency", order.head.currency.code());
    json.constant(r#""discounted_shipping":"0.00","hasMarketing":false"#);
    json.close();
}

/// An amount with two decimals, or three where the coin is a thousandth.
struct Fixed(Money);

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0.0 / 1000, self.0.0 % 1000);
        if thousandths % 10 == 0 {
            write!(f, "{whole}.{:02}", thousandths / 10)
        } else {
            write!(f, "{whole}.{thousandths:03}")
        }
    }
}

pub(super) fn closing_flags(json: &mut Json, order: &Order) {
    can_cancel_and_reorder(json, order.head.status);
    json.bool("show_weight", true);
    pending_payment(json, order.head.status);
    json.key("total_weight");
    weight_label(json, order.grams());
}

/// `"٠٫٥١ كجم"`: kilograms in Arabic-Indic digits.
pub(super) fn weight_label(json: &mut Json, grams: u32) {
    let kilograms = Money(i64::from(grams)).decimal();
    json.out.push('"');
    push_arabic(&mut json.out, &kilograms.to_string());
    json.out.push_str(" كجم\"");
}

pub(super) fn customer_of_order(json: &mut Json, view: View<'_>, head: &OrderHead) {
    match head.customer {
        Some(index) => {
            json.key("customer").open();
            customer::fields(json, view, &view.customers().customer(index));
            json.close();
        }
        // No guest is documented; these are the forms an empty PHP value takes.
        None => json.raw("customer", ["null", "{}", "[]"][head.index as usize % 3]),
    }
}

pub(super) fn receiver(json: &mut Json, view: View<'_>, head: &OrderHead) {
    let Some(customer) = head.customer.map(|index| view.customers().customer(index)) else {
        return json.object("receiver", |json| json.text("name", "ضيف"));
    };
    json.object("receiver", |json| {
        json.display(
            "name",
            format_args!("{} {}", customer.first_name, customer.last_name),
        );
        json.display("email", customer.email());
        json.display("phone", format_args!("966{}", customer.mobile));
    });
}
