//! `pagination`: camel case, though the parameter is `per_page`; its numbers may be
//! strings and its `links` anything, so these are never read (docs/salla-api.md#pagination).

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

/// These numbers prove a scan, so an unreadable one is never guessed. Only `count` is: the rows say
/// the same.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_numbers(
        [total, per_page, current_page, total_pages]: [i64; 4],
        rows: usize,
    ) -> Result<Pagination, EnvelopeError> {
        let json = format!(
            r#"{{"count":{rows},"total":{total},"perPage":{per_page},"currentPage":{current_page},"totalPages":{total_pages}}}"#
        );
        let wire: Object<PaginationWire<'_>> = serde_json::from_str(&json).unwrap();
        read(&wire, rows)
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
