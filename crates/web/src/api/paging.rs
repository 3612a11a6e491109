//! Pages of lists: how long one is, where it begins, and where the next one does.

use std::str::FromStr;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::Problem;

/// Entries of a page that says nothing of its length, and of the longest.
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// From 1 to 200; 50 if it is not given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Parameters of one page of a list, latest entry first.
pub(super) struct Wanted<C> {
    /// Entries before this one.
    pub(super) before: Option<C>,
    limit: u32,
}

impl Paging {
    pub(super) fn wanted<C: FromStr>(&self) -> Result<Wanted<C>, Problem> {
        let limit = match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => limit,
            _ => {
                let rule = format!("is a number from 1 to {MAX_LIMIT}");
                return Err(Problem::invalid("limit", rule));
            }
        };
        let cursor = self.cursor.as_deref().map(str::parse).transpose();
        let before =
            cursor.map_err(|_| Problem::invalid("cursor", "is nextCursor of the page before"))?;
        Ok(Wanted { before, limit })
    }
}

impl<C> Wanted<C> {
    /// One more than the page shows, to see whether there is another page.
    pub(super) fn limit(&self) -> u32 {
        self.limit + 1
    }

    /// The page's entries, and where the next page begins.
    pub(super) fn page<T>(
        &self,
        mut entries: Vec<T>,
        cursor: impl Fn(&T) -> C,
    ) -> (Vec<T>, Option<String>)
    where
        C: ToString,
    {
        let limit = self.limit as usize;
        let is_last = entries.len() <= limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| !is_last);
        let next = next.map(|last| cursor(last).to_string());
        (entries, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(limit: Option<u32>, cursor: Option<&str>) -> Result<Wanted<i64>, u16> {
        let paging = Paging {
            limit,
            cursor: cursor.map(str::to_owned),
        };
        paging.wanted().map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn only_what_a_page_may_be_is_taken() {
        assert_eq!(
            wanted(None, None).map(|w| (w.limit(), w.before)),
            Ok((51, None))
        );
        let given = wanted(Some(200), Some("7"));
        assert_eq!(given.map(|w| (w.limit(), w.before)), Ok((201, Some(7))));
        for limit in [0, 201, u32::MAX] {
            assert_eq!(wanted(Some(limit), None).err(), Some(422), "{limit}");
        }
        for cursor in [
            "",
            "x",
            "7 ",
            "9223372036854775808",
            "٧",
            "\0",
            "' OR true --",
        ] {
            assert_eq!(wanted(None, Some(cursor)).err(), Some(422), "{cursor:?}");
        }
    }

    #[test]
    fn the_next_page_begins_behind_the_last_entry_and_the_last_page_has_none() {
        let page = |entries: Vec<i64>| {
            let wanted = wanted(Some(2), None);
            wanted.map(|wanted| wanted.page(entries, |entry| *entry))
        };
        assert_eq!(page(vec![9, 8, 7]), Ok((vec![9, 8], Some("8".to_owned()))));
        assert_eq!(page(vec![9, 8]), Ok((vec![9, 8], None)));
        assert_eq!(page(vec![]), Ok((vec![], None)));
    }
}
