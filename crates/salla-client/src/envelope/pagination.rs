//! `pagination`: camel case, though the parameter is `per_page`; its numbers may be
//! strings and its `links` anything, so these are never read (FACTS §5).

use importer::ports::platform::Pagination;
use serde::Deserialize;

use super::EnvelopeError;
use crate::lenient::{Json, Object};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PaginationWire<'a> {
    #[serde(borrow)]
    count: Json<'a>,
    total: Json<'a>,
    per_page: Json<'a>,
    current_page: Json<'a>,
    total_pages: Json<'a>,
}

/// A walk is proven by these numbers, so an unreadable one is never guessed. Only
/// `count` is: it says nothing that the rows do not say.
pub(super) fn read(
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
    Ok(Pagination {
        count: number(wire.count).unwrap_or_else(|| clamped(rows)),
        total: required(wire.total, "pagination.total is not a number")?,
        per_page: required(wire.per_page, "pagination.perPage is not a number")?,
        current_page: required(wire.current_page, "pagination.currentPage is not a number")?,
        total_pages: required(wire.total_pages, "pagination.totalPages is not a number")?,
    })
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
