//! Records to land. The raw text of each is made from its content, so that a changed
//! record is also sent differently.

use domain::customer::Customer;
use domain::instant::{DateReading, SallaInstant};
use domain::numbers::Money;
use domain::order::{
    Order, OrderAmounts, OrderCustomer, OrderDiscount, OrderItem, StatusRef, Version,
};
use domain::rejection::{Rejection, RejectionCode};
use importer::ports::platform::Decoded;
use jiff::{Timestamp, ToSpan};
use rust_decimal::Decimal;

/// The version of what was asked for `seconds` after the beginning of the test's time.
pub(crate) fn at(seconds: i64) -> Version {
    let start: Timestamp = "2025-06-15T09:00:00Z".parse().unwrap();
    start + seconds.seconds()
}

pub(crate) fn instant(text: &str) -> SallaInstant {
    SallaInstant {
        instant: text.parse().unwrap(),
        raw: text.to_owned(),
        reading: DateReading::Riyadh,
    }
}

pub(crate) fn money(amount: i64) -> Option<Money> {
    Some(Money::new(Decimal::new(amount, 2), "SAR"))
}

pub(crate) fn decimal(amount: i64) -> Option<Decimal> {
    Some(Decimal::new(amount, 2))
}

pub(crate) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) fn status(slug: &str) -> Option<StatusRef> {
    Some(StatusRef {
        id: Some(1_298_199_463),
        slug: text(slug),
        name: text("مكتمل"),
        custom_id: None,
        custom_name: None,
    })
}

/// What a plain list gives of an order.
pub(crate) fn header(id: i64) -> Order {
    Order {
        id,
        reference_id: Some(id.wrapping_add(1_000)),
        created_at: instant("2025-06-10T10:00:00Z"),
        updated_at: None,
        status: status("completed"),
        payment_method: text("mada"),
        source: None,
        currency: text("SAR"),
        total: money(11_500),
        exchange_rate: None,
        amounts: None,
        customer: None,
        items: None,
    }
}

/// The same order with everything.
pub(crate) fn whole(id: i64) -> Order {
    Order {
        source: text("store"),
        updated_at: Some(instant("2025-06-11T10:00:00Z")),
        amounts: Some(OrderAmounts {
            subtotal: decimal(10_000),
            shipping: decimal(2_000),
            cash_on_delivery: decimal(0),
            tax_percent: decimal(1_500),
            tax: decimal(1_500),
            discounts: vec![OrderDiscount {
                title: text("خصم"),
                code: text("EID"),
                amount: decimal(2_000),
                ..OrderDiscount::default()
            }],
        }),
        customer: Some(OrderCustomer::Known(Box::new(customer(
            id.wrapping_add(5_000),
        )))),
        items: Some(vec![
            item(id.wrapping_mul(10) + 1),
            item(id.wrapping_mul(10) + 2),
        ]),
        ..header(id)
    }
}

pub(crate) fn item(id: i64) -> OrderItem {
    OrderItem {
        id,
        product_id: Some(77),
        sku: text("SKU-77"),
        name: "عباية سوداء".to_owned(),
        quantity: Decimal::new(2, 0),
        unit_price: decimal(2_500),
        discount: decimal(0),
        tax_percent: decimal(1_500),
        tax: decimal(750),
        total: decimal(5_000),
        currency: text("SAR"),
    }
}

pub(crate) fn customer(id: i64) -> Customer {
    Customer {
        id,
        first_name: text("نورة"),
        last_name: text("القحطاني"),
        city: text("الرياض"),
        ..Customer::default()
    }
}

pub(crate) fn ok<T: std::fmt::Debug>(record: T) -> Decoded<T> {
    Decoded {
        raw: format!("{record:?}").into(),
        outcome: Ok(record),
    }
}

pub(crate) fn rejected<T>(salla_id: Option<i64>, raw: &str) -> Decoded<T> {
    Decoded {
        raw: raw.into(),
        outcome: Err(Rejection {
            code: RejectionCode::InvalidAmount,
            path: "$.total.amount".to_owned(),
            message: "the amount is not a number".to_owned(),
            salla_id,
        }),
    }
}
