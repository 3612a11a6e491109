//! Pages (docs.salla.dev/421124m0): `page` and `per_page` in, camelCase out.

use super::request::Query;
use crate::json::{Json, View};
use crate::scenario::EmptyLinks;
use std::ops::Range;

/// What part of a list was asked for, after clamping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) number: u64,
    pub(crate) size: u64,
}

impl Page {
    /// Anything that is no positive number counts as not given; too great a
    /// size is clamped in silence, as integrators have seen.
    pub(crate) fn of(query: &Query, default_size: u64, cap: u64) -> Self {
        let positive = |name| {
            query
                .number(name)
                .and_then(|number| u64::try_from(number).ok())
                .filter(|number| *number > 0)
        };
        Self {
            number: positive("page").unwrap_or(1),
            size: positive("per_page").unwrap_or(default_size).min(cap),
        }
    }

    /// The places of this page in a list; empty past the end.
    pub(crate) fn places(self, total: u64) -> Range<u64> {
        let start = self.size.saturating_mul(self.number - 1).min(total);
        start..(start + self.size).min(total)
    }

    pub(crate) fn total_pages(self, total: u64) -> u64 {
        total.div_ceil(self.size).max(1)
    }
}

/// The whole body of a list: `rows` writes the records at the given places.
pub(crate) fn list(
    view: View<'_>,
    page: Page,
    total: u64,
    path: &str,
    row_bytes: usize,
    mut row: impl FnMut(&mut Json, u64),
) -> String {
    let places = page.places(total);
    let count = places.end - places.start;
    let mut json = Json::new(row_bytes * count as usize + 512, view.scenario.quirks);
    json.open();
    json.raw("status", "200");
    json.raw("success", "true");
    json.array("data", places, |json, place| row(json, place));
    json.object("pagination", |json| {
        json.int("count", count as i64);
        json.int("total", total as i64);
        json.int("perPage", page.size as i64);
        json.int("currentPage", page.number as i64);
        json.int("totalPages", page.total_pages(total) as i64);
        links(json, view.scenario.empty_links, page, total, path);
    });
    json.close();
    json.out
}

/// Salla's links are plain HTTP and forget every other parameter, so whoever
/// follows them gets something else than he asked for.
fn links(json: &mut Json, empty: EmptyLinks, page: Page, total: u64, path: &str) {
    let pages = page.total_pages(total);
    let previous = (page.number > 1).then(|| page.number - 1);
    let next = (page.number < pages).then(|| page.number + 1);
    if previous.is_none() && next.is_none() {
        let nothing = match empty {
            EmptyLinks::Object => "{}",
            EmptyLinks::Array => "[]",
        };
        return json.raw("links", nothing);
    }
    json.object("links", |json| {
        for (key, page) in [("previous", previous), ("next", next)] {
            if let Some(page) = page {
                json.display(key, format_args!("http://api.salla.dev{path}?page={page}"));
            }
        }
    });
}

/// The whole body of an answer with one record or an unpaged list.
pub(crate) fn envelope(view: View<'_>, data: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::new(8_192, view.scenario.quirks);
    json.open();
    json.raw("status", "200");
    json.raw("success", "true");
    json.key("data");
    data(&mut json);
    json.close();
    json.out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_cover_a_list_once(total in 0u64..500, size in 1u64..70) {
            let pages = Page { number: 1, size }.total_pages(total);
            let mut seen = 0;
            for number in 1..=pages {
                let places = Page { number, size }.places(total);
                prop_assert_eq!(places.start, seen);
                seen = places.end;
            }
            prop_assert_eq!(seen, total);
            let past_the_end = Page { number: pages + 1, size };
            prop_assert!(past_the_end.places(total).is_empty());
        }
    }

    #[test]
    fn sizes_are_clamped_and_nonsense_is_ignored() {
        let of = |query: &str| Page::of(&Query::parse(query.as_bytes()), 15, 60);
        assert_eq!(
            of(""),
            Page {
                number: 1,
                size: 15
            }
        );
        assert_eq!(
            of("page=3&per_page=100"),
            Page {
                number: 3,
                size: 60
            }
        );
        assert_eq!(
            of("page=0&per_page=x"),
            Page {
                number: 1,
                size: 15
            }
        );
    }
}
