//! The frame around every response of the API (docs.salla.dev/421123m0 and 421124m0,
//! docs/salla-api.md#envelopes-and-errors and #pagination).
//!
//! A response is split into its records without decoding them: each stays raw text,
//! so that one bad record cannot cost its page and goes to the database as it was
//! sent. The HTTP status is not looked at here; [`crate::classify`] does that
//! first, and again with what an [`EnvelopeError`] says.

mod error;
mod pagination;
pub(crate) mod single_pass;

use importer::ports::platform::Pagination;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::lenient::{Json, List, NoObject, Object, read_object, readable};
use error::ErrorBody;
pub use error::{ApiError, EnvelopeError};
pub(crate) use error::{printable, printable_list};
use pagination::PaginationWire;

/// The records of a list response and what Salla says of the list. Salla sends
/// `data` as an array, or null or `{}` for none; without `pagination`, as for
/// statuses, the response is the whole list.
pub fn split_list(body: &[u8]) -> Result<(Vec<&RawValue>, Pagination), EnvelopeError> {
    let envelope: Envelope<'_, List<&RawValue>> = open(body)?;
    let pagination = &envelope.pagination;
    let rows = match envelope.data {
        List::Of(rows) => rows,
        List::Empty => Vec::new(),
        List::Missing => return Err(EnvelopeError::NotAnEnvelope("there is no data")),
        List::Odd => return Err(EnvelopeError::NotAnEnvelope("data is not a list")),
    };
    let pagination = pagination::read(pagination, rows.len())?;
    Ok((rows, pagination))
}

/// The one record of a response, whatever it is: an object for a single record, an
/// array for `GET /orders/items`, null on odd days.
pub fn split_one(body: &[u8]) -> Result<&RawValue, EnvelopeError> {
    let envelope: Envelope<'_, Data<'_>> = open(body)?;
    let data = envelope.data.0;
    data.ok_or(EnvelopeError::NotAnEnvelope("there is no data"))
}

/// The same, with what the response says of further pages.
pub fn split_one_page(body: &[u8]) -> Result<(&RawValue, Pagination), EnvelopeError> {
    let envelope: Envelope<'_, Data<'_>> = open(body)?;
    let pagination = pagination::read(&envelope.pagination, 0)?;
    let data = envelope.data.0;
    let data = data.ok_or(EnvelopeError::NotAnEnvelope("there is no data"))?;
    Ok((data, pagination))
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a, D: Deserialize<'de> + Default"))]
struct Envelope<'a, D> {
    #[serde(borrow)]
    status: Json<'a>,
    success: Json<'a>,
    data: D,
    pagination: Object<PaginationWire<'a>>,
    error: Object<ErrorBody<'a>>,
    /// Outside the documented envelope: what the web framework itself answers.
    message: Json<'a>,
}

#[derive(Default)]
struct Data<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

/// The envelope of a success. An error envelope under HTTP 200 exists too, so the
/// members decide and not the status (docs/salla-api.md#envelopes-and-errors).
fn open<'a, D>(body: &'a [u8]) -> Result<Envelope<'a, D>, EnvelopeError>
where
    D: Deserialize<'a> + Default,
{
    let envelope = parse::<D>(body)?;
    if envelope.reports_an_error() {
        return Err(EnvelopeError::Api(Box::new(envelope.into_error())));
    }
    Ok(envelope)
}

fn parse<'a, D>(body: &'a [u8]) -> Result<Envelope<'a, D>, EnvelopeError>
where
    D: Deserialize<'a> + Default,
{
    read_object(body).map_err(|reason| match reason {
        NoObject::NotJson => EnvelopeError::NotJson,
        NoObject::Other => EnvelopeError::NotAnEnvelope("the response is not an object"),
        NoObject::Twice => EnvelopeError::NotAnEnvelope("a member occurs twice"),
    })
}

impl<D> Envelope<'_, D> {
    fn reports_an_error(&self) -> bool {
        let has_error = !matches!(self.error, Object::Missing | Object::Empty);
        match self.success.flag() {
            Some(success) => !success,
            None => has_error || self.status().is_some_and(|status| status >= 400),
        }
    }

    fn status(&self) -> Option<u16> {
        let status = self.status.integer().ok().flatten()?;
        u16::try_from(status).ok()
    }

    fn into_error(self) -> ApiError {
        ApiError::new(self.status(), &self.error, self.message)
    }
}

impl ApiError {
    /// What a response with an error status says; `None` where it is not a JSON
    /// object. A bare OAuth error counts as well.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body = readable(body);
        let envelope = parse::<Data<'_>>(&body).ok()?;
        Some(envelope.into_error())
    }
}
