//! The checkpoint: which pages have landed, and what each listed.

use std::sync::LazyLock;

use domain::failure::Failure;
use domain::resource::Resource;
use importer::ports::landing::WalkedPage;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgArguments;

use crate::columns::{Columns, add, array_literal, columns, rows_from_arrays};
use crate::failure::Trouble;
use crate::landing::counters::Cursor;
use crate::landing::pages::Workplace;

/// A page that had not landed before.
pub(crate) struct Fresh<'a> {
    pub(crate) page: &'a WalkedPage,
    days: Option<String>,
}

impl Fresh<'_> {
    pub(crate) fn cursor(&self, resource: Resource) -> Cursor {
        Cursor {
            resource: resource.as_str(),
            window: self.days.clone(),
            page: Some(self.page.page),
            order_id: None,
        }
    }
}

columns! {
    struct PageColumns<'a> from &'a Listed<'a> {
        window_id: i64, "bigint" = |p| p.page.window.0;
        walk: i32, "integer" = |p| p.page.walk.cast_signed();
        page: i32, "integer" = |p| p.page.page.cast_signed();
        total: i64, "bigint" = |p| p.page.pagination.total.cast_signed();
        per_page: i32, "integer" = |p| p.page.pagination.per_page.cast_signed();
        total_pages: i32, "integer" = |p| p.page.pagination.total_pages.cast_signed();
        without_id: i32, "integer" = |p| p.without_id;
        ids: &'a str, "text" = |p| p.ids.as_str();
    }
}

/// A page and what it listed; the ids as a PostgreSQL array literal, because an array
/// of arrays would lose the bounds of its parts.
pub(crate) struct Listed<'a> {
    page: &'a WalkedPage,
    ids: String,
    without_id: i32,
}

/// A page that has landed before is left as it is, and so are its records: this is
/// what makes a batch repeatable.
static REMEMBER: LazyLock<String> = LazyLock::new(|| {
    let rows = rows_from_arrays(3, &PageColumns::columns());
    format!(
        "WITH landed AS (
            INSERT INTO salla_sync.sync_pages
                (window_id, walk, page, total, per_page, total_pages, without_id, ids, landed_at)
            SELECT r.window_id, r.walk, r.page, r.total, r.per_page, r.total_pages, r.without_id,
                   r.ids::bigint[], $1
            FROM {rows}
            ON CONFLICT (window_id, walk, page) DO NOTHING
            RETURNING window_id, walk, page
        )
        SELECT l.window_id, l.walk, l.page, w.run_id = $2 AS is_ours,
               to_char(w.day_from, 'YYYY-MM-DD..') || to_char(w.day_to, 'YYYY-MM-DD') AS days
        FROM landed l JOIN salla_sync.sync_windows w ON w.id = l.window_id
        ORDER BY l.window_id, l.walk, l.page"
    )
});

#[derive(sqlx::FromRow)]
struct Remembered {
    window_id: i64,
    walk: i32,
    page: i32,
    is_ours: bool,
    days: Option<String>,
}

/// Puts pages on record; returns those that had not landed before, in their order.
pub(crate) async fn remember<'a>(
    place: &mut Workplace<'_>,
    pages: &'a [WalkedPage],
) -> Result<Vec<Fresh<'a>>, Trouble> {
    let listed: Vec<Listed<'_>> = pages.iter().map(listed).collect();
    let columns = PageColumns::of(&listed);
    let mut arguments = PgArguments::default();
    add(&mut arguments, place.now.to_sqlx())?;
    add(&mut arguments, place.run.lease.run.0)?;
    columns.bind(&mut arguments)?;
    let rows: Vec<Remembered> = sqlx::query_as_with(REMEMBER.as_str(), arguments)
        .fetch_all(&mut *place.tx)
        .await?;
    let mut fresh = Vec::with_capacity(rows.len());
    for row in rows {
        let key = (
            row.window_id,
            row.walk.cast_unsigned(),
            row.page.cast_unsigned(),
        );
        let page = pages.iter().find(|p| (p.window.0, p.walk, p.page) == key);
        let (Some(page), true) = (page, row.is_ours) else {
            return Err(Failure::Bug {
                what: "a page was to land in a window of another run".to_owned(),
            }
            .into());
        };
        fresh.push(Fresh {
            page,
            days: row.days,
        });
    }
    Ok(fresh)
}

fn listed(page: &WalkedPage) -> Listed<'_> {
    let ids = page.records.ids();
    let without_id = page.records.len() - ids.len();
    Listed {
        page,
        ids: array_literal(ids.iter().copied().map(Some)),
        without_id: i32::try_from(without_id).unwrap_or(i32::MAX),
    }
}
