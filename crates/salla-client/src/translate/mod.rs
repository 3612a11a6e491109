//! From Salla's records to ours, one at a time, so that a bad record never costs
//! its page (ARCHITECTURE.md#what-sallas-api-forces-on-us).
//!
//! A record is rejected only where keeping it would mean inventing something: it is
//! no object, its id or an order's date is missing or unreadable, an amount or a
//! quantity is there and is no number. Everything else is tolerated: unknown
//! fields, slugs and statuses, missing parts, sums that do not add up, products
//! that no longer exist, guests. Nothing here ever quotes a value in a message.

mod catalogue;
mod fields;
mod order;
mod shop;
mod stored;

use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::failure::Failure;
use domain::instant::SallaInstant;
use domain::order::{Order, OrderCustomer, OrderItem, OrderStatus};
use domain::plausible::PlausibleDates;
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use importer::ports::platform::{Decoded, Pagination, Records};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::envelope::{EnvelopeError, read_list, split_list};
use crate::lenient::{Json, Object, mend};
use crate::wire;
use fields::{At, Defect};

pub use catalogue::{category, product};
pub use order::{ItemPage, items_of_pages, order, order_items, order_status};
pub use shop::{customer, shop_info};
pub use stored::RawTranslator;

/// Reads a response as a page of `resource`.
pub fn list(resource: Resource, body: &[u8]) -> Result<(Records, Pagination), EnvelopeError> {
    if let Some(page) = list_in_single_pass(resource, body) {
        return Ok(page);
    }
    let (rows, pagination) = split_list(body)?;
    Ok((decode_list(resource, rows), pagination))
}

fn list_in_single_pass(resource: Resource, body: &[u8]) -> Option<(Records, Pagination)> {
    fn into<T>(
        (rows, pagination): Listed<T>,
        records: fn(Vec<Decoded<T>>) -> Records,
    ) -> (Records, Pagination) {
        (records(rows), pagination)
    }
    Some(match resource {
        Resource::Orders => into(order::orders(body)?, Records::Orders),
        Resource::Customers => into(shop::customers(body)?, Records::Customers),
        Resource::Products => into(catalogue::products(body)?, Records::Products),
        Resource::Categories => into(catalogue::categories(body)?, Records::Categories),
        Resource::OrderStatuses => into(order::order_statuses(body)?, Records::OrderStatuses),
    })
}

type Listed<T> = (Vec<Decoded<T>>, Pagination);

fn records_in_single_pass<'a, W, T>(
    body: &'a [u8],
    id_of: fn(&W) -> Json<'a>,
    build: fn(i64, &W) -> Result<T, Defect>,
) -> Option<Listed<T>>
where
    W: Deserialize<'a>,
{
    read_list(body, |text| {
        let (raw, wire) = text.record::<Object<W>>()?;
        Some(Decoded {
            raw: raw.into(),
            outcome: understand(wire, id_of, build),
        })
    })
}

/// Decodes the records of one page of `resource`.
pub fn decode_list(resource: Resource, rows: Vec<&RawValue>) -> Records {
    match resource {
        Resource::Orders => Records::Orders(decode_all(rows, order)),
        Resource::Customers => Records::Customers(decode_all(rows, customer)),
        Resource::Products => Records::Products(decode_all(rows, product)),
        Resource::Categories => Records::Categories(decode_all(rows, category)),
        Resource::OrderStatuses => Records::OrderStatuses(decode_all(rows, order_status)),
    }
}

/// Decodes one record and keeps its raw text beside it.
pub fn decode<T>(
    raw: &RawValue,
    translate: impl Fn(&RawValue) -> Result<T, Rejection>,
) -> Decoded<T> {
    let outcome = translate(raw).or_else(|rejection| {
        if rejection.code != RejectionCode::InvalidJson {
            return Err(rejection);
        }
        // It may be JSON with an escape that makes no text.
        let mended = mend(raw.get().as_bytes()).unwrap_or_default();
        match serde_json::from_str::<&RawValue>(&mended) {
            Ok(mended) => translate(mended),
            Err(_) => Err(rejection),
        }
    });
    Decoded {
        raw: raw.get().into(),
        outcome,
    }
}

/// A record whose response is no JSON.
pub(crate) fn unreadable<T>(body: &[u8]) -> Decoded<T> {
    let message = "the response is not JSON, or was cut off, however often it is requested";
    Decoded {
        raw: String::from_utf8_lossy(body).into(),
        outcome: Err(Defect::new(RejectionCode::InvalidJson, message).reject(None)),
    }
}

/// A record whose response is longer than any that is read.
pub(crate) fn too_large<T>(id: i64) -> Decoded<T> {
    let message = "the response is longer than the limit, so its text is not stored";
    Decoded {
        raw: "".into(),
        outcome: Err(Defect::new(RejectionCode::TooLarge, message).reject(Some(id))),
    }
}

/// A record that Salla does not serve, and why.
pub(crate) fn not_served<T>(id: i64, code: RejectionCode, reason: &Failure) -> Decoded<T> {
    Decoded {
        raw: "".into(),
        outcome: Err(Rejection {
            code,
            path: "$".to_owned(),
            message: format!("Salla serves other responses, and never this one: {reason}"),
            salla_id: Some(id),
        }),
    }
}

/// Of a record that came in the place of this one.
pub(crate) fn another(id: i64) -> Rejection {
    let message = "Salla returned another record than the requested one";
    Defect::new(RejectionCode::InvalidId, message).reject(Some(id))
}

fn decode_all<T>(
    rows: Vec<&RawValue>,
    translate: fn(&RawValue) -> Result<T, Rejection>,
) -> Vec<Decoded<T>> {
    rows.into_iter().map(|raw| decode(raw, translate)).collect()
}

/// The frame of every translation: the record must be an object with an id; what
/// is wrong after that is reported with the id.
fn record<'a, W, T>(
    raw: &'a RawValue,
    id_of: fn(&W) -> Json<'a>,
    build: fn(i64, &W) -> Result<T, Defect>,
) -> Result<T, Rejection>
where
    W: Deserialize<'a>,
{
    match serde_json::from_str::<Object<W>>(raw.get()) {
        Ok(wire) => understand(wire, id_of, build),
        Err(_) => Err(Defect::new(
            RejectionCode::InvalidJson,
            "the record has a member twice, or a text or number that cannot be decoded",
        )
        .reject(salvaged_id(raw))),
    }
}

fn understand<'a, W, T>(
    wire: Object<W>,
    id_of: fn(&W) -> Json<'a>,
    build: fn(i64, &W) -> Result<T, Defect>,
) -> Result<T, Rejection> {
    let wire = match wire {
        Object::Is(wire) => wire,
        // How a row comes that is no JSON; see `lenient::mend`.
        Object::Text(text) if text.starts_with('{') => {
            return Err(Defect::new(
                RejectionCode::InvalidJson,
                "the record is not JSON; its text is stored as a JSON string",
            )
            .reject(None));
        }
        _ => {
            return Err(Defect::new(
                RejectionCode::NotAnObject,
                "the record is not a JSON object",
            )
            .reject(None));
        }
    };
    let id = fields::id(id_of(&wire))
        .at("id")
        .map_err(|defect| defect.reject(None))?;
    build(id, &wire).map_err(|defect| defect.reject(Some(id)))
}

/// The id of a record that cannot be decoded as a whole, if that much is readable.
fn salvaged_id(raw: &RawValue) -> Option<i64> {
    let reference: Object<wire::Reference<'_>> = serde_json::from_str(raw.get()).ok()?;
    reference.get()?.id.reference()
}

// What becomes of dates that cannot be true: of those that nothing depends on, nothing
// is kept but the raw record; an order whose own date is one of them is rejected, because
// it belongs to no day.

/// A record with its own dates or those of its parts.
pub(crate) trait Dated {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection>;
}

/// The record without the dates that it cannot have had at `now`.
pub(crate) fn with_plausible_dates<T: Dated>(record: Decoded<T>, now: Timestamp) -> Decoded<T> {
    checked(record, &PlausibleDates::at(now))
}

pub(crate) fn with_plausible_dates_of_list(records: Records, now: Timestamp) -> Records {
    fn all<T: Dated>(records: Vec<Decoded<T>>, dates: &PlausibleDates) -> Vec<Decoded<T>> {
        let records = records.into_iter();
        records.map(|record| checked(record, dates)).collect()
    }
    let dates = &PlausibleDates::at(now);
    match records {
        Records::Orders(records) => Records::Orders(all(records, dates)),
        Records::Customers(records) => Records::Customers(all(records, dates)),
        Records::Products(records) => Records::Products(all(records, dates)),
        Records::Categories(records) => Records::Categories(all(records, dates)),
        Records::OrderStatuses(records) => Records::OrderStatuses(records),
    }
}

fn checked<T: Dated>(record: Decoded<T>, dates: &PlausibleDates) -> Decoded<T> {
    let outcome = record.outcome.and_then(|mut value| {
        value.keep_plausible(dates)?;
        Ok(value)
    });
    Decoded { outcome, ..record }
}

fn keep(date: &mut Option<SallaInstant>, dates: &PlausibleDates) {
    if date
        .as_ref()
        .is_some_and(|date| !dates.contain(date.instant))
    {
        *date = None;
    }
}

impl Dated for Order {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection> {
        if !dates.contain(self.created_at.instant) {
            let message = "the date is before the year 2000 or in the future";
            let defect = Defect::new(RejectionCode::InvalidDate, message);
            return Err(defect.at("date").reject(Some(self.id)));
        }
        keep(&mut self.updated_at, dates);
        match &mut self.customer {
            Some(OrderCustomer::Known(customer)) => customer.keep_plausible(dates),
            Some(OrderCustomer::Guest) | None => Ok(()),
        }
    }
}

impl Dated for Customer {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection> {
        keep(&mut self.created_at, dates);
        keep(&mut self.updated_at, dates);
        self.birthday = self.birthday.filter(|day| dates.contain_birthday(*day));
        Ok(())
    }
}

impl Dated for Product {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection> {
        keep(&mut self.updated_at, dates);
        Ok(())
    }
}

impl Dated for Category {
    fn keep_plausible(&mut self, dates: &PlausibleDates) -> Result<(), Rejection> {
        keep(&mut self.updated_at, dates);
        let mut below = self.sub_categories.iter_mut();
        below.try_for_each(|category| category.keep_plausible(dates))
    }
}

/// Neither items nor statuses have dates.
impl Dated for Vec<OrderItem> {
    fn keep_plausible(&mut self, _: &PlausibleDates) -> Result<(), Rejection> {
        Ok(())
    }
}

impl Dated for OrderStatus {
    fn keep_plausible(&mut self, _: &PlausibleDates) -> Result<(), Rejection> {
        Ok(())
    }
}
