//! The usual response, gone over once.
//!
//! [`split_list`](super::split_list) looks for the end of each record, and what
//! decodes the record reads all of it again. Here a record is decoded where it stands,
//! which shows where it ends as well: that halves the reading, the dearest part of an
//! import that Salla does not slow down. Whatever is out of the ordinary, down to one record
//! that cannot be decoded, is left to `split_list`, so that there is one place that
//! says what it means.

use importer::ports::platform::Pagination;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Envelope, pagination};

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
    let pagination = pagination::read(&envelope.pagination, rows.len()).ok()?;
    Some((rows, pagination))
}
