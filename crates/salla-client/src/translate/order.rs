//! Orders and their statuses.

use domain::numbers::{ExchangeRate, Money};
use domain::order::{
    Order, OrderAmounts, OrderCustomer, OrderDiscount, OrderItem, OrderStatus, StatusRef,
};
use domain::rejection::{Rejection, RejectionCode};
use importer::ports::platform::{Decoded, Pagination};
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::fields::{self, At, Defect};
use super::{Listed, decode, record, records_in_single_pass, shop};
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
        items: inside_order(&wire.items, has_amounts(wire)).at("items")?,
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

// Line items, from their own endpoint and from inside an order.

/// The whole response of `GET /orders/items` (docs.salla.dev/5565737e0,
/// docs/salla-api.md#order-items). One bad item rejects the list: an order with a missing
/// line is wrong.
pub fn order_items(raw: &RawValue) -> Result<Vec<OrderItem>, Rejection> {
    let list: List<Object<wire::Item<'_>>> = serde_json::from_str(raw.get()).map_err(|_| {
        let message = "an item has a member twice, or a text or number that cannot be decoded";
        Defect::new(RejectionCode::InvalidJson, message).reject(None)
    })?;
    if matches!(list, List::Odd) {
        return Err(fields::invalid_field("the items are not a list").reject(None));
    }
    if matches!(list, List::Missing | List::Empty) {
        return Err(Rejection::no_items(None));
    }
    items(list.rows()).map_err(|defect| defect.reject(None))
}

/// The items of an order, or `None` if this form of the order does not say: the key is absent, the
/// list is empty, or the rows are those of a list, which have neither ids nor amounts. Only
/// `GET /orders/items` says that there are none.
fn inside_order(
    list: &List<Object<wire::Item<'_>>>,
    order_has_amounts: bool,
) -> Result<Option<Vec<OrderItem>>, Defect> {
    match list {
        List::Missing | List::Empty => Ok(None),
        List::Of(rows) if rows.iter().any(is_whole) => items(rows).map(Some),
        List::Of(_) | List::Odd if !order_has_amounts => Ok(None),
        List::Of(rows) if rows.iter().all(|row| row.get().is_some()) => Ok(None),
        List::Of(rows) => items(rows).map(Some),
        List::Odd => Err(fields::invalid_field("the items are not a list")),
    }
}

/// A row of a detail, as against one of a list.
fn is_whole(row: &Object<wire::Item<'_>>) -> bool {
    row.get()
        .is_some_and(|item| !item.id.is_absent() || item.amounts.get().is_some())
}

fn items(rows: &[Object<wire::Item<'_>>]) -> Result<Vec<OrderItem>, Defect> {
    let rows = rows.iter().enumerate();
    rows.map(|(index, row)| item(row).at_index(index)).collect()
}

fn item(row: &Object<wire::Item<'_>>) -> Result<OrderItem, Defect> {
    let Some(wire) = row.get() else {
        return Err(fields::invalid_field("the item is not an object"));
    };
    let parts = Parts::read(wire).at("amounts")?;
    let product = wire.product.get();
    let product_name = product.map_or_else(Json::default, |p| p.name);
    Ok(OrderItem {
        id: fields::id(wire.id).at("id")?,
        product_id: product
            .and_then(|p| p.id.reference())
            .or_else(|| wire.product_id.reference()),
        sku: wire.sku.string(),
        name: wire.name.or(product_name).string().unwrap_or_default(),
        quantity: required_quantity(wire.quantity).at("quantity")?,
        unit_price: parts.unit_price,
        discount: parts.discount,
        tax_percent: parts.tax_percent,
        tax: parts.tax,
        total: parts.total,
        currency: wire.currency.string().or(parts.currency),
    })
}

fn required_quantity(json: Json<'_>) -> Result<Decimal, Defect> {
    fields::quantity(json)?
        .ok_or_else(|| Defect::new(RejectionCode::InvalidQuantity, "the item has no quantity"))
}

#[derive(Default)]
struct Parts {
    unit_price: Option<Decimal>,
    discount: Option<Decimal>,
    tax_percent: Option<Decimal>,
    tax: Option<Decimal>,
    total: Option<Decimal>,
    currency: Option<String>,
}

impl Parts {
    fn read(wire: &wire::Item<'_>) -> Result<Self, Defect> {
        let amounts = match &wire.amounts {
            Object::Is(amounts) => amounts,
            Object::Missing | Object::Empty => return Ok(Self::default()),
            Object::Text(_) | Object::Odd => {
                return Err(fields::invalid_field("the amounts are not an object"));
            }
        };
        let (tax_percent, tax) = fields::tax(amounts.tax).at("tax")?;
        let (total, total_currency) = fields::amount_and_currency(amounts.total).at("total")?;
        let (unit_price, price_currency) =
            fields::amount_and_currency(amounts.price_without_tax).at("price_without_tax")?;
        // The item's own currency nearly always stands beside it; only where it is
        // missing is another one worth an allocation.
        let currency = if wire.currency.is_absent() {
            total_currency.or(price_currency).string()
        } else {
            None
        };
        Ok(Self {
            unit_price,
            discount: fields::amount(amounts.total_discount).at("total_discount")?,
            tax_percent,
            tax,
            total,
            currency,
        })
    }
}

/// One page of the items of an order. Salla documents a single one; a reader who trusts that
/// would lose the lines behind it.
pub struct ItemPage {
    pub raw: Box<str>,
    pub pagination: Pagination,
}

impl ItemPage {
    pub fn new((raw, pagination): (&RawValue, Pagination)) -> Self {
        Self {
            raw: raw.get().into(),
            pagination,
        }
    }

    fn rows(&self) -> Option<Vec<&RawValue>> {
        match serde_json::from_str(&self.raw).ok()? {
            List::Of(rows) => Some(rows),
            List::Missing | List::Empty | List::Odd => None,
        }
    }

    pub fn has_rows(&self) -> bool {
        self.rows().is_some_and(|rows| !rows.is_empty())
    }
}

/// The items of all pages as one list, in the order of the pages. A list that holds
/// another number of items than Salla says is not the whole list.
pub fn items_of_pages(pages: &[ItemPage]) -> Decoded<Vec<OrderItem>> {
    let [only] = pages else {
        return joined(pages);
    };
    let mut decoded = read(&only.raw);
    let total = only.pagination.total;
    if let Ok(items) = &decoded.outcome
        && total > items.len() as u64
    {
        decoded.outcome = Err(incomplete());
    }
    decoded
}

fn joined(pages: &[ItemPage]) -> Decoded<Vec<OrderItem>> {
    let mut rows = Vec::new();
    for page in pages {
        match page.rows() {
            Some(of_page) => rows.extend(of_page),
            None => return read(&page.raw),
        }
    }
    let total = pages.last().map_or(0, |page| page.pagination.total);
    let texts: Vec<&str> = rows.iter().map(|row| row.get()).collect();
    let mut decoded = read(&format!("[{}]", texts.join(",")));
    if decoded.outcome.is_ok() && total != rows.len() as u64 {
        decoded.outcome = Err(incomplete());
    }
    decoded
}

fn read(text: &str) -> Decoded<Vec<OrderItem>> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => decode(raw, order_items),
        Err(_) => Decoded {
            raw: text.into(),
            outcome: Err(
                Defect::new(RejectionCode::InvalidJson, "the items are not JSON").reject(None),
            ),
        },
    }
}

fn incomplete() -> Rejection {
    let message = "Salla's count of the order's items differs from the number on its pages";
    Defect::new(RejectionCode::MissingItems, message).reject(None)
}
