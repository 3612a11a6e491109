//! Values that matter: absent is fine, unreadable is a defect of the record.

use domain::instant::SallaInstant;
use domain::numbers::Money;
use domain::rejection::{Rejection, RejectionCode};
use rust_decimal::Decimal;

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
            too_many_digits("the quantity has more digits than can be stored exactly")
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
            too_many_digits("the amount has more digits than can be stored exactly")
        }
    })
}

/// Percent and amount of a tax. A tax without percent is read as plain money, which has the same
/// shape. An unreadable percentage is absent: it follows from the amounts.
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

/// What is wrong with a record, and where. A defect knows its place only relative
/// to the value that was being read; each level above adds its own step, so a good
/// record pays nothing for paths.
#[derive(Debug)]
pub(super) struct Defect {
    code: RejectionCode,
    /// Without the leading `$`.
    path: String,
    /// Fixed texts, so that no value of a record can get into a message.
    message: &'static str,
}

impl Defect {
    pub(super) fn new(code: RejectionCode, message: &'static str) -> Self {
        Self {
            code,
            path: String::new(),
            message,
        }
    }

    pub(super) fn at(mut self, member: &str) -> Self {
        self.path.insert_str(0, member);
        self.path.insert(0, '.');
        self
    }

    pub(super) fn at_index(mut self, index: usize) -> Self {
        self.path.insert_str(0, &format!("[{index}]"));
        self
    }

    pub(super) fn reject(self, salla_id: Option<i64>) -> Rejection {
        Rejection {
            code: self.code,
            path: format!("${}", self.path),
            message: self.message.to_owned(),
            salla_id,
        }
    }
}

/// Names the member in which a defect lies.
pub(super) trait At {
    fn at(self, member: &str) -> Self;
    fn at_index(self, index: usize) -> Self;
}

impl<T> At for Result<T, Defect> {
    fn at(self, member: &str) -> Self {
        self.map_err(|defect| defect.at(member))
    }

    fn at_index(self, index: usize) -> Self {
        self.map_err(|defect| defect.at_index(index))
    }
}
