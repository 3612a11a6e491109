//! Orders and their statuses.

use domain::numbers::{ExchangeRate, Money};
use domain::order::{Order, OrderAmounts, OrderCustomer, OrderDiscount, OrderStatus, StatusRef};
use domain::rejection::Rejection;
use serde_json::value::RawValue;

use super::fields::{self, At, Defect};
use super::{Listed, item, record, records_in_single_pass, shop};
use crate::lenient::{Json, List, Object};
use crate::wire;

/// An order in any of its forms: list row, light or full detail, expanded row
/// (docs.salla.dev/5394146e0 and 5394147e0, docs/salla-api.md#orders).
pub fn order(raw: &RawValue) -> Result<Order, Rejection> {
    record(raw, |wire: &wire::Order<'_>| wire.id, build)
}

/// A row of `GET /orders/statuses` (docs/salla-api.md#order-statuses).
pub fn order_status(raw: &RawValue) -> Result<OrderStatus, Rejection> {
    record(raw, |wire: &wire::StatusRow<'_>| wire.id, build_status)
}

pub(super) fn orders(body: &[u8]) -> Option<Listed<Order>> {
    records_in_single_pass(body, |wire: &wire::Order<'_>| wire.id, build)
}

pub(super) fn order_statuses(body: &[u8]) -> Option<Listed<OrderStatus>> {
    records_in_single_pass(body, |wire: &wire::StatusRow<'_>| wire.id, build_status)
}

fn build(id: i64, wire: &wire::Order<'_>) -> Result<Order, Defect> {
    let created_at = fields::required_instant(wire.date).at("date")?;
    let (total, currency) = total(wire)?;
    Ok(Order {
        id,
        reference_id: wire.reference_id.reference(),
        created_at,
        updated_at: fields::optional_instant(wire.updated_at),
        status: status(&wire.status),
        payment_method: wire.payment_method.string(),
        source: wire.source.string(),
        currency: wire.currency.or(currency).string(),
        total,
        exchange_rate: exchange_rate(&wire.exchange_rate).at("exchange_rate")?,
        amounts: amounts(&wire.amounts).at("amounts")?,
        customer: order_customer(&wire.customer).at("customer")?,
        items: item::inside_order(&wire.items, has_amounts(wire)).at("items")?,
    })
}

fn has_amounts(wire: &wire::Order<'_>) -> bool {
    wire.amounts.get().is_some()
}

/// The total and its currency: details have it in `amounts`, list rows at the top.
fn total<'a>(wire: &wire::Order<'a>) -> Result<(Option<Money>, Json<'a>), Defect> {
    let in_amounts = wire.amounts.get().map_or_else(Json::default, |a| a.total);
    let inner = fields::amount_and_currency(in_amounts)
        .at("total")
        .at("amounts")?;
    let outer = fields::amount_and_currency(wire.total).at("total")?;
    let currency = inner.1.or(outer.1);
    let total = inner.0.or(outer.0).map(|amount| Money {
        amount,
        currency: currency.or(wire.currency).string(),
    });
    Ok((total, currency))
}

/// A status is an object, or nothing but its localised name.
fn status(wire: &Object<wire::Status<'_>>) -> Option<StatusRef> {
    let status = match wire {
        Object::Is(wire) => {
            let custom = wire.customized.get();
            StatusRef {
                id: wire.id.reference(),
                slug: wire.slug.string(),
                name: wire.name.string(),
                custom_id: custom.and_then(|c| c.id.reference()),
                custom_name: custom.and_then(|c| c.name.string()),
            }
        }
        Object::Text(name) => StatusRef {
            name: Some(name.clone()),
            ..StatusRef::default()
        },
        Object::Missing | Object::Empty | Object::Odd => StatusRef::default(),
    };
    (status != StatusRef::default()).then_some(status)
}

fn exchange_rate(wire: &Object<wire::ExchangeRate<'_>>) -> Result<Option<ExchangeRate>, Defect> {
    let Some(wire) = wire.get() else {
        return Ok(None);
    };
    let rate = ExchangeRate {
        base_currency: wire.base_currency.string(),
        exchange_currency: wire.exchange_currency.string(),
        rate: fields::amount(wire.rate).at("rate")?,
    };
    let says_something = rate.rate.is_some() || rate.exchange_currency.is_some();
    Ok(says_something.then_some(rate))
}

fn amounts(wire: &Object<wire::Amounts<'_>>) -> Result<Option<OrderAmounts>, Defect> {
    let wire = match wire {
        Object::Is(wire) => wire,
        Object::Missing | Object::Empty => return Ok(None),
        Object::Text(_) | Object::Odd => {
            return Err(fields::invalid_field("the amounts are not an object"));
        }
    };
    let (tax_percent, tax) = fields::tax(wire.tax).at("tax")?;
    let amounts = OrderAmounts {
        subtotal: fields::amount(wire.sub_total).at("sub_total")?,
        shipping: fields::amount(wire.shipping_cost).at("shipping_cost")?,
        cash_on_delivery: fields::amount(wire.cash_on_delivery).at("cash_on_delivery")?,
        tax_percent,
        tax,
        discounts: discounts(&wire.discounts).at("discounts")?,
    };
    match amounts.discount_total() {
        Some(_) => Ok(Some(amounts)),
        None => Err(fields::too_many_digits(
            "the discounts have a sum of more digits than can be stored exactly",
        )
        .at("discounts")),
    }
}

fn discounts(wire: &List<Object<wire::Discount<'_>>>) -> Result<Vec<OrderDiscount>, Defect> {
    if matches!(wire, List::Odd) {
        return Err(fields::invalid_field("the discounts are not a list"));
    }
    let rows = wire.rows().iter().enumerate();
    rows.map(|(index, row)| discount(row).at_index(index))
        .collect()
}

fn discount(wire: &Object<wire::Discount<'_>>) -> Result<OrderDiscount, Defect> {
    let Some(wire) = wire.get() else {
        return Err(fields::invalid_field("the discount is not an object"));
    };
    Ok(OrderDiscount {
        title: wire.title.string(),
        kind: wire.kind.string(),
        code: wire.code.string(),
        amount: fields::amount(wire.discount).at("discount")?,
        shipping_amount: fields::amount(wire.discounted_shipping).at("discounted_shipping")?,
    })
}

/// Guests are not documented; null, `{}`, `[]` or an id of 0 can mean nothing else
/// (docs/salla-api.md#payment-history-guests).
fn order_customer(wire: &Object<wire::Customer<'_>>) -> Result<Option<OrderCustomer>, Defect> {
    match wire {
        Object::Missing => Ok(None),
        Object::Empty => Ok(Some(OrderCustomer::Guest)),
        Object::Is(wire) if matches!(wire.id.integer(), Ok(None | Some(0))) => {
            Ok(Some(OrderCustomer::Guest))
        }
        Object::Is(wire) => {
            let id = fields::id(wire.id).at("id")?;
            let customer = shop::build_customer(id, wire)?;
            Ok(Some(OrderCustomer::Known(Box::new(customer))))
        }
        Object::Text(_) | Object::Odd => {
            Err(fields::invalid_field("the customer is not an object"))
        }
    }
}

fn build_status(id: i64, wire: &wire::StatusRow<'_>) -> Result<OrderStatus, Defect> {
    Ok(OrderStatus {
        id,
        name: wire.name.string(),
        slug: wire.slug.string(),
        kind: wire.kind.string(),
        original_id: wire.original.get().and_then(|r| r.id.reference()),
        parent_id: wire.parent.get().and_then(|r| r.id.reference()),
    })
}
