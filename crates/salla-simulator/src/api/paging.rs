//! Pages (docs.salla.dev/421124m0): `page` and `per_page` in, camelCase out.

use super::request::Query;
use super::response::Response;
use crate::endpoint::Endpoint;
use crate::json::{Json, View};
use crate::scenario::{CeilingBehavior, EmptyLinks, EndlessPages, ListBehavior, Scenario};
use crate::shop::{Draw, Stream};
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

    /// The page of one of the three great lists that was asked for.
    pub(crate) fn of_list(endpoint: Endpoint, query: &Query, scenario: &Scenario) -> Self {
        let cap = scenario.page_cap;
        match endpoint {
            Endpoint::Products => Self::of(query, 20, cap),
            Endpoint::Customers => Self::of(query, 15, cap),
            _ => Self::of(query, 15, cap.min(scenario.orders_page_cap)),
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

/// A list as it is, before it lies.
pub(crate) struct List<'a> {
    pub(crate) page: Page,
    pub(crate) total: u64,
    pub(crate) path: &'a str,
    /// About how long a row is.
    pub(crate) row_bytes: usize,
    pub(crate) behavior: ListBehavior,
}

/// The response with a page of a list; `row` writes the record at a place.
pub(crate) fn list(
    view: View<'_>,
    list: &List<'_>,
    mut row: impl FnMut(&mut Json, u64),
) -> Response {
    let Some(shown) = list.shown(view.scenario.seed) else {
        return list.too_deep();
    };
    let count = shown.places.end - shown.places.start;
    let capacity = list.row_bytes * count as usize + 512;
    let mut json = Json::new(capacity, view.scenario.quirks);
    json.open();
    json.raw("status", "200");
    json.raw("success", "true");
    json.array("data", shown.places.clone(), |json, place| row(json, place));
    json.object("pagination", |json| {
        json.int("count", count as i64);
        json.int("total", shown.total as i64);
        json.int("perPage", list.page.size as i64);
        json.int("currentPage", shown.number as i64);
        json.int("totalPages", shown.total_pages as i64);
        links(json, view.scenario.empty_links, &shown, list.path);
    });
    json.close();
    Response::json(200, json.out)
}

/// A page as it is shown.
struct Shown {
    places: Range<u64>,
    number: u64,
    total: u64,
    total_pages: u64,
    has_next: bool,
}

impl List<'_> {
    /// What the page shows of the list, or nothing beyond a strict ceiling.
    fn shown(&self, seed: u64) -> Option<Shown> {
        let (page, behavior) = (self.page, self.behavior);
        let reach = behavior.ceiling.map_or(self.total, |ceiling| {
            let shown = match ceiling.whole_pages {
                true => ceiling.rows / page.size * page.size,
                false => ceiling.rows,
            };
            self.total.min(shown)
        });
        let lies = behavior
            .ceiling
            .is_some_and(|ceiling| ceiling.how == CeilingBehavior::Lie);
        let truth = if lies { reach } else { self.total };
        let total = behavior.false_total(truth, page, seed);
        let shown_total = if behavior.pages_follow_total {
            total
        } else {
            truth
        };
        let mut shown = Shown {
            places: page.places(reach),
            number: page.number,
            total,
            total_pages: page.total_pages(shown_total),
            has_next: page.number < page.total_pages(shown_total),
        };
        let last = Page {
            number: page.total_pages(reach),
            ..page
        };
        let is_beyond = page.number > last.number;
        if is_beyond && reach < self.total {
            match behavior.ceiling.map(|ceiling| ceiling.how) {
                Some(CeilingBehavior::Error) => return None,
                Some(CeilingBehavior::RepeatLast) => shown.places = last.places(reach),
                Some(CeilingBehavior::Empty | CeilingBehavior::Lie) | None => {}
            }
        }
        if let Some(endless) = behavior.endless_pages {
            shown.has_next = true;
            match endless {
                EndlessPages::FirstPage => {
                    shown.number = 1;
                    shown.places = Page { number: 1, ..page }.places(reach);
                }
                EndlessPages::LastPage | EndlessPages::LastPageGrowing if is_beyond => {
                    shown.places = last.places(reach);
                }
                EndlessPages::LastPage | EndlessPages::LastPageGrowing => {}
            }
            if endless == EndlessPages::LastPageGrowing {
                shown.total_pages = shown.total_pages.max(page.number + 1);
            }
        }
        Some(shown)
    }

    fn too_deep(&self) -> Response {
        match self.behavior.ceiling.map(|ceiling| ceiling.error_status) {
            Some(400) => Response::bad_request("الصفحة المطلوبة خارج النطاق المسموح"),
            _ => Response::invalid_field("page", "الصفحة المطلوبة خارج النطاق المسموح"),
        }
    }
}

impl ListBehavior {
    fn false_total(&self, truth: u64, page: Page, seed: u64) -> u64 {
        let jitter = i64::from(self.total_jitter);
        let mut draw = Draw::of(seed, Stream::TotalJitter, page.number);
        let moved = draw.below(2 * jitter as u64 + 1) as i64 - jitter;
        truth.saturating_add_signed(self.total_off + moved)
    }
}

/// Salla's links are plain HTTP and lack every other parameter, so a client that follows them gets
/// another list than it asked for.
fn links(json: &mut Json, empty: EmptyLinks, shown: &Shown, path: &str) {
    let previous = (shown.number > 1).then(|| shown.number - 1);
    let next = shown.has_next.then(|| shown.number + 1);
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

/// A response with one record or an unpaged list.
pub(crate) fn record(view: View<'_>, data: impl FnOnce(&mut Json)) -> Response {
    let mut json = Json::new(8_192, view.scenario.quirks);
    json.open();
    json.raw("status", "200");
    json.raw("success", "true");
    json.key("data");
    data(&mut json);
    json.close();
    Response::json(200, json.out)
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
