//! The shop itself, and its customers, from their own list and from inside an order.

use domain::customer::Customer;
use domain::rejection::Rejection;
use domain::shop::{ShopInfo, ShopPlan};
use serde_json::value::RawValue;

use super::fields::{self, Defect};
use super::{Listed, record, records_in_single_pass};
use crate::dates;
use crate::lenient::number::western_digits;
use crate::wire;

/// `GET /store/info` (docs.salla.dev/5394261e0, docs/salla-api.md#store).
pub fn shop_info(raw: &RawValue) -> Result<ShopInfo, Rejection> {
    record(raw, |wire: &wire::ShopInfo<'_>| wire.id, build_shop)
}

/// A missing plan becomes an unknown one: its budget is read from the headers.
fn build_shop(salla_id: i64, wire: &wire::ShopInfo<'_>) -> Result<ShopInfo, Defect> {
    Ok(ShopInfo {
        salla_id,
        name: wire.name.string().unwrap_or_default(),
        plan: ShopPlan::parse(wire.plan.text().as_deref().unwrap_or_default()),
        kind: wire.kind.string(),
        status: wire.status.string(),
        currency: wire.currency.string(),
        domain: wire.domain.string(),
    })
}

/// A customer (docs.salla.dev/5394121e0, docs/salla-api.md#customers).
pub fn customer(raw: &RawValue) -> Result<Customer, Rejection> {
    record(raw, |wire: &wire::Customer<'_>| wire.id, build_customer)
}

pub(super) fn customers(body: &[u8]) -> Option<Listed<Customer>> {
    records_in_single_pass(body, |wire: &wire::Customer<'_>| wire.id, build_customer)
}

/// Nothing of a customer but the id is required. A reduced customer has one name
/// for the whole; it stands as first name, for it cannot be cut reliably.
pub(super) fn build_customer(id: i64, wire: &wire::Customer<'_>) -> Result<Customer, Defect> {
    let whole_name = wire.full_name.or(wire.name);
    let first_name = if wire.last_name.is_absent() {
        wire.first_name.or(whole_name)
    } else {
        wire.first_name
    };
    Ok(Customer {
        id,
        first_name: first_name.string(),
        last_name: wire.last_name.string(),
        email: wire.email.string(),
        mobile: wire
            .mobile
            .string()
            .map(|text| western_digits(&text).into_owned()),
        mobile_code: wire.mobile_code.string(),
        gender: wire.gender.string(),
        birthday: dates::day(wire.birthday),
        city: wire.city.string(),
        country: wire.country.string(),
        country_code: wire.country_code.text().map(|c| c.to_ascii_uppercase()),
        currency: wire.currency.string(),
        created_at: fields::optional_instant(wire.created_at),
        updated_at: fields::optional_instant(wire.updated_at),
    })
}
