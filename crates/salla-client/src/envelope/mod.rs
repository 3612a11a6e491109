//! The frame around every response of the API (docs.salla.dev/421123m0 and 421124m0,
//! docs/salla-api.md#envelopes-and-errors and #pagination).
//!
//! A response is split into its records without decoding them: each stays raw text,
//! so that one bad record cannot cost its page and goes to the database as it was
//! sent. The HTTP status is not looked at here; [`crate::classify`] does that
//! first, and again with what an [`EnvelopeError`] says.

mod error;

use importer::ports::platform::Pagination;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::lenient::{Json, List, NoObject, Object, read_object, readable};
use error::ErrorBody;

pub use error::{ApiError, EnvelopeError};

pub(crate) use error::{printable, printable_list};

/// The records of a list response and what Salla says of the list. Salla sends
/// `data` as an array, or `{}` for none; without `pagination`, as for statuses, the
/// response is the whole list. Null is no list, unless `pagination` is there, whose numbers
/// then prove or refute that it is empty.
pub fn split_list(body: &[u8]) -> Result<(Vec<&RawValue>, Pagination), EnvelopeError> {
    let envelope: Envelope<'_, List<&RawValue>> = open(body)?;
    let pagination = &envelope.pagination;
    let rows = match envelope.data {
        List::Of(rows) => rows,
        List::Empty if says_something(pagination) => Vec::new(),
        List::Missing | List::Empty => {
            return Err(EnvelopeError::NotAnEnvelope("there is no data"));
        }
        List::Odd => return Err(EnvelopeError::NotAnEnvelope("data is not a list")),
    };
    let pagination = read_pagination(pagination, rows.len())?;
    Ok((rows, pagination))
}

/// The one record of a response, whatever it is: an object for a single record, an
/// array for `GET /orders/items`. Null on odd days says nothing, and is worth another try.
pub fn split_one(body: &[u8]) -> Result<&RawValue, EnvelopeError> {
    let envelope: Envelope<'_, Data<'_>> = open(body)?;
    let data = envelope.data.0;
    data.ok_or(EnvelopeError::NotAnEnvelope("there is no data"))
}

/// The same, with what the response says of further pages.
pub fn split_one_page(body: &[u8]) -> Result<(&RawValue, Pagination), EnvelopeError> {
    let envelope: Envelope<'_, Data<'_>> = open(body)?;
    let pagination = read_pagination(&envelope.pagination, 0)?;
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
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self((raw.get() != "null").then_some(raw)))
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

// `pagination`: camel case, though the parameter is `per_page`; its numbers may be
// strings and its `links` anything, so these are never read (docs/salla-api.md#pagination).

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PaginationWire<'a> {
    #[serde(borrow)]
    count: Json<'a>,
    total: Json<'a>,
    per_page: Json<'a>,
    current_page: Json<'a>,
    total_pages: Json<'a>,
}

fn says_something(pagination: &Object<PaginationWire<'_>>) -> bool {
    pagination.get().is_some_and(|wire| !wire.says_nothing())
}

/// These numbers prove a scan, so an unreadable one is never guessed. Only `count` is: the rows say
/// the same.
fn read_pagination(
    wire: &Object<PaginationWire<'_>>,
    rows: usize,
) -> Result<Pagination, EnvelopeError> {
    let wire = match wire {
        Object::Is(wire) if !wire.says_nothing() => wire,
        Object::Is(_) | Object::Missing | Object::Empty => return Ok(single_page(rows)),
        Object::Text(_) | Object::Odd => {
            return Err(EnvelopeError::NotAnEnvelope("pagination is not an object"));
        }
    };
    let pagination = Pagination {
        count: number(wire.count).unwrap_or_else(|| clamped(rows)),
        total: required(wire.total, "pagination.total is not a number")?,
        per_page: required(wire.per_page, "pagination.perPage is not a number")?,
        current_page: required(wire.current_page, "pagination.currentPage is not a number")?,
        total_pages: required(wire.total_pages, "pagination.totalPages is not a number")?,
    };
    let total_pages = pagination.total_pages.min(pages_at_most(pagination, rows));
    if total_pages >= MAX_PAGES {
        let problem = "pagination.totalPages is more than any list has";
        return Err(EnvelopeError::NotAnEnvelope(problem));
    }
    Ok(Pagination {
        total_pages,
        ..pagination
    })
}

/// Sixty million rows. A scan requests every page that a list announces.
const MAX_PAGES: u32 = 1_000_000;

/// `total` bounds the number of pages, so that empty pages are not requested without
/// end. Pages may have fewer rows than they say; the last page has fewer in any case, and
/// only raises the bound.
fn pages_at_most(pagination: Pagination, rows: usize) -> u32 {
    let per_page = match rows {
        0 => pagination.per_page,
        rows => pagination.per_page.min(clamped(rows)),
    };
    let pages = pagination.total.div_ceil(u64::from(per_page.max(1)));
    u32::try_from(pages).unwrap_or(u32::MAX).saturating_add(1)
}

impl PaginationWire<'_> {
    fn says_nothing(&self) -> bool {
        let numbers = [
            self.total,
            self.per_page,
            self.current_page,
            self.total_pages,
        ];
        numbers.into_iter().all(Json::is_absent)
    }
}

fn single_page(rows: usize) -> Pagination {
    Pagination {
        count: clamped(rows),
        total: rows as u64,
        per_page: clamped(rows),
        current_page: 1,
        total_pages: 1,
    }
}

fn required<N: TryFrom<i64>>(json: Json<'_>, problem: &'static str) -> Result<N, EnvelopeError> {
    number(json).ok_or(EnvelopeError::NotAnEnvelope(problem))
}

fn number<N: TryFrom<i64>>(json: Json<'_>) -> Option<N> {
    N::try_from(json.integer().ok().flatten()?).ok()
}

fn clamped(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

// The usual response, gone over once.
//
// [`split_list`] looks for the end of each record, and what
// decodes the record reads all of it again. Here a record is decoded where it stands,
// which shows where it ends as well: that halves the reading, the dearest part of an
// import that Salla does not slow down. Whatever is out of the ordinary, down to one record
// that cannot be decoded, is left to `split_list`, so that there is one place that
// says what it means.

/// JSON text, read value by value.
pub(crate) struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// Decodes the value that stands here, and gives its text as well.
    pub(crate) fn record<W: Deserialize<'a>>(&mut self) -> Option<(&'a str, W)> {
        self.skip_blanks();
        let before = self.0;
        let wire = self.value()?;
        Some((&before[..before.len() - self.0.len()], wire))
    }

    fn value<W: Deserialize<'a>>(&mut self) -> Option<W> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter();
        let value = values.next()?.ok()?;
        self.0 = &self.0[values.byte_offset()..];
        Some(value)
    }

    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\n', '\r', '\t']);
    }

    fn takes(&mut self, sign: char) -> bool {
        self.skip_blanks();
        let rest = self.0.strip_prefix(sign);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// What stands between `open` and `close`, one after the other.
    fn each(
        &mut self,
        [open, close]: [char; 2],
        mut one: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        if !self.takes(open) {
            return None;
        }
        if self.takes(close) {
            return Some(());
        }
        loop {
            one(self)?;
            if !self.takes(',') {
                return self.takes(close).then_some(());
            }
        }
    }
}

/// The records of a list response as `read` takes them, and what Salla says of the list;
/// nothing where the response is not an ordinary page or `read` gives none.
pub(crate) fn read_list<'a, R>(
    body: &'a [u8],
    mut read: impl FnMut(&mut Text<'a>) -> Option<R>,
) -> Option<(Vec<R>, Pagination)> {
    let mut text = Text(std::str::from_utf8(body).ok()?);
    let mut envelope = Envelope::<Option<Vec<R>>>::default();
    let mut seen = Vec::new();
    text.each(['{', '}'], |text| {
        let name: String = text.value()?;
        if !text.takes(':') {
            return None;
        }
        match name.as_str() {
            "data" => {
                let mut rows = Vec::new();
                text.each(['[', ']'], |text| {
                    rows.push(read(text)?);
                    Some(())
                })?;
                envelope.data = Some(rows);
            }
            "status" => envelope.status = text.value()?,
            "success" => envelope.success = text.value()?,
            "pagination" => envelope.pagination = text.value()?,
            "error" => envelope.error = text.value()?,
            "message" => envelope.message = text.value()?,
            _ => {
                text.value::<IgnoredAny>()?;
                return Some(());
            }
        }
        let stands_twice = seen.contains(&name);
        seen.push(name);
        (!stands_twice).then_some(())
    })?;
    text.skip_blanks();
    if !text.0.is_empty() || envelope.reports_an_error() {
        return None;
    }
    let rows = envelope.data?;
    let pagination = read_pagination(&envelope.pagination, rows.len()).ok()?;
    Some((rows, pagination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_numbers(
        [total, per_page, current_page, total_pages]: [i64; 4],
        rows: usize,
    ) -> Result<Pagination, EnvelopeError> {
        let json = format!(
            r#"{{"count":{rows},"total":{total},"perPage":{per_page},"currentPage":{current_page},"totalPages":{total_pages}}}"#
        );
        let wire: Object<PaginationWire<'_>> = serde_json::from_str(&json).unwrap();
        read_pagination(&wire, rows)
    }

    #[test]
    fn more_pages_than_total_has_rows_for_are_not_believed() {
        for (numbers, rows, pages) in [
            ([300, 60, 1, 5], 60, Some(5)),
            // Behind the end, where `total` lags.
            ([300, 60, 1, 6], 60, Some(6)),
            ([300, 60, 1, 4_294_967_295], 60, Some(6)),
            ([300, 60, 9, 4_294_967_295], 0, Some(6)),
            // Pages are shorter than they say.
            ([300, 60, 1, 20], 15, Some(20)),
            ([300, 60, 5, 5], 1, Some(5)),
            ([0, 60, 1, 1], 0, Some(1)),
            ([0, 0, 1, 7], 0, Some(1)),
            ([i64::MAX, 60, 1, 4_294_967_295], 60, None),
            ([i64::MAX, 60, 1, 3], 60, Some(3)),
        ] {
            let read = read_numbers(numbers, rows).ok();
            assert_eq!(read.map(|p| p.total_pages), pages, "{numbers:?} {rows}");
        }
    }

    proptest! {
        #[test]
        fn any_four_numbers_are_an_error_or_bounded(
            numbers: [i64; 4], small in prop::array::uniform4(0i64..5_000), rows in 0usize..200
        ) {
            for numbers in [numbers, small] {
                if let Ok(pagination) = read_numbers(numbers, rows) {
                    prop_assert!(pagination.total_pages < MAX_PAGES);
                    let most = pages_at_most(pagination, rows);
                    prop_assert!(pagination.total_pages <= most);
                }
            }
        }
    }
}
