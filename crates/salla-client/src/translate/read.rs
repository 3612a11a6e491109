//! Values that matter: absent is fine, unreadable is a defect of the record.

use domain::instant::SallaInstant;
use domain::money::Money;
use domain::rejection::RejectionCode;
use rust_decimal::Decimal;

use super::defect::{At, Defect};
use crate::dates;
use crate::lenient::{Json, Kind, NumberError};
use crate::wire;

/// The id that a record is kept by.
pub(super) fn id(json: Json<'_>) -> Result<i64, Defect> {
    match json.integer() {
        Ok(Some(id)) if id > 0 => Ok(id),
        Ok(None) => Err(Defect::new(RejectionCode::MissingId, "there is no id")),
        Ok(Some(_)) => Err(Defect::new(
            RejectionCode::InvalidId,
            "the id is zero or negative",
        )),
        Err(NumberError::NotANumber) => Err(Defect::new(
            RejectionCode::InvalidId,
            "the id is not a whole number",
        )),
        Err(NumberError::TooLarge) => Err(Defect::new(
            RejectionCode::OutOfRange,
            "the id does not fit into 64 bits",
        )),
    }
}

pub(super) fn quantity(json: Json<'_>) -> Result<Option<Decimal>, Defect> {
    json.decimal().map_err(|error| match error {
        NumberError::NotANumber => Defect::new(
            RejectionCode::InvalidQuantity,
            "the quantity is not a number",
        ),
        NumberError::TooLarge => {
            too_many_digits("the quantity has more digits than can be kept exactly")
        }
    })
}

/// The amount alone, from money in any of its forms.
pub(super) fn amount(json: Json<'_>) -> Result<Option<Decimal>, Defect> {
    amount_and_currency(json).map(|(amount, _)| amount)
}

pub(super) fn money(json: Json<'_>) -> Result<Option<Money>, Defect> {
    let (amount, currency) = amount_and_currency(json)?;
    Ok(amount.map(|amount| Money {
        amount,
        currency: currency.string(),
    }))
}

/// `{amount, currency}`, or a bare number or string without currency (docs/salla-api.md#money).
pub(super) fn amount_and_currency(json: Json<'_>) -> Result<(Option<Decimal>, Json<'_>), Defect> {
    match json.kind() {
        Kind::Object(object) => {
            let money: wire::Money<'_> = inside(object)?;
            let amount = bare_amount(money.amount).at("amount")?;
            Ok((amount, money.currency))
        }
        _ => Ok((bare_amount(json)?, Json::default())),
    }
}

fn bare_amount(json: Json<'_>) -> Result<Option<Decimal>, Defect> {
    json.decimal().map_err(|error| match error {
        NumberError::NotANumber => {
            Defect::new(RejectionCode::InvalidAmount, "the amount is not a number")
        }
        NumberError::TooLarge => {
            too_many_digits("the amount has more digits than can be kept exactly")
        }
    })
}

/// Percent and amount of a tax. A tax without percent is read as plain money,
/// which has the same shape. An unreadable percentage is absent: it is told again
/// by the amounts.
pub(super) fn tax(json: Json<'_>) -> Result<(Option<Decimal>, Option<Decimal>), Defect> {
    match json.kind() {
        Kind::Object(object) => {
            let tax: wire::Tax<'_> = inside(object)?;
            let amount = amount(tax.amount).at("amount")?;
            Ok((tax.percent.decimal().unwrap_or(None), amount))
        }
        _ => Ok((None, bare_amount(json)?)),
    }
}

fn inside<'a, T: serde::Deserialize<'a>>(object: &'a str) -> Result<T, Defect> {
    serde_json::from_str(object).map_err(|_| {
        Defect::new(
            RejectionCode::InvalidField,
            "the object has a member twice or a name that cannot be decoded",
        )
    })
}

/// A date that nothing depends on: absent where it cannot be read.
pub(super) fn optional_instant(json: Json<'_>) -> Option<SallaInstant> {
    dates::instant(json).ok().flatten()
}

/// A date without which the record cannot be placed.
pub(super) fn required_instant(json: Json<'_>) -> Result<SallaInstant, Defect> {
    match dates::instant(json) {
        Ok(Some(instant)) => Ok(instant),
        Ok(None) => Err(Defect::new(RejectionCode::MissingDate, "there is no date")),
        Err(dates::NotADate) => Err(Defect::new(
            RejectionCode::InvalidDate,
            "the date is in none of the known forms or does not exist",
        )),
    }
}

pub(super) fn too_many_digits(message: &'static str) -> Defect {
    Defect::new(RejectionCode::OutOfRange, message)
}

pub(super) fn invalid_field(message: &'static str) -> Defect {
    Defect::new(RejectionCode::InvalidField, message)
}
