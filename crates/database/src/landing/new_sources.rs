//! Records of which nothing is known, in a hurry: during a first import nearly all are,
//! and copying their rows in costs half of what the version rule costs.

use std::sync::LazyLock;

use domain::resource::Resource;
use jiff_sqlx::{Timestamp, ToSqlx};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::columns::columns;
use crate::copy::{CopyInto, copy, copy_into};
use crate::failure::Trouble;
use crate::landing::contents::Holds;
use crate::landing::sources::{Incoming, Verdict};
use crate::lease::HeldRun;
use crate::text::OptionalText;

/// A row of `source_records` to be, without the record itself.
pub(crate) struct Source<'a> {
    resource: Resource,
    id: i64,
    version: Timestamp,
    hash: &'a [u8],
    raw: Option<&'a [u8]>,
    items_raw: Option<&'a [u8]>,
    run: i64,
    lines: Option<i32>,
    other_entries: Option<i32>,
    total: Option<Decimal>,
    currency: OptionalText<'a>,
}

columns! {
    struct ListedColumns<'a> from &'a Source<'a> {
        resource: &'static str, "salla_sync.resource" = |s| s.resource.as_str();
        salla_id: i64, "bigint" = |s| s.id;
        list_version: Timestamp, "timestamptz" = |s| s.version;
        list_since: Timestamp, "timestamptz" = |s| s.version;
        list_hash: &'a [u8], "bytea" = |s| s.hash;
        list_raw: Option<&'a [u8]>, "bytea" = |s| s.raw;
        list_run: i64, "bigint" = |s| s.run;
        effect: i16, "smallint" = |_| Verdict::NEW;
        lines: Option<i32>, "integer" = |s| s.lines;
        other_entries: Option<i32>, "integer" = |s| s.other_entries;
        total: Option<Decimal>, "numeric" = |s| s.total;
        currency: OptionalText<'a>, "text" = |s| s.currency.clone();
    }
}

columns! {
    struct WholeColumns<'a> from &'a Source<'a> {
        resource: &'static str, "salla_sync.resource" = |s| s.resource.as_str();
        salla_id: i64, "bigint" = |s| s.id;
        detail_version: Timestamp, "timestamptz" = |s| s.version;
        detail_hash: &'a [u8], "bytea" = |s| s.hash;
        detail_raw: Option<&'a [u8]>, "bytea" = |s| s.raw;
        items_raw: Option<&'a [u8]>, "bytea" = |s| s.items_raw;
        detail_run: i64, "bigint" = |s| s.run;
        effect: i16, "smallint" = |_| Verdict::NEW_WHOLE;
        lines: Option<i32>, "integer" = |s| s.lines;
        other_entries: Option<i32>, "integer" = |s| s.other_entries;
        total: Option<Decimal>, "numeric" = |s| s.total;
        currency: OptionalText<'a>, "text" = |s| s.currency.clone();
    }
}

static COPY_LISTED: LazyLock<CopyInto> =
    LazyLock::new(|| copy_into::<ListedColumns<'_>>("salla_sync.source_records"));

static COPY_WHOLE: LazyLock<CopyInto> =
    LazyLock::new(|| copy_into::<WholeColumns<'_>>("salla_sync.source_records"));

/// Rows of lists, sorted by id.
pub(crate) async fn copy_listed<R: Holds>(
    tx: &mut PgConnection,
    run: &HeldRun,
    resource: Resource,
    records: &[Incoming<R>],
) -> Result<Vec<Verdict>, Trouble> {
    let sources = sources(run, resource, records);
    let rows = ListedColumns::of(&sources);
    copy(tx, run, &COPY_LISTED, &rows).await?;
    Ok(verdicts(records, Verdict::NEW))
}

/// Whole orders, sorted by id.
pub(crate) async fn copy_whole<R: Holds>(
    tx: &mut PgConnection,
    run: &HeldRun,
    records: &[Incoming<R>],
) -> Result<Vec<Verdict>, Trouble> {
    let sources = sources(run, Resource::Orders, records);
    let rows = WholeColumns::of(&sources);
    copy(tx, run, &COPY_WHOLE, &rows).await?;
    Ok(verdicts(records, Verdict::NEW_WHOLE))
}

fn sources<'a, R: Holds>(
    run: &HeldRun,
    resource: Resource,
    records: &'a [Incoming<R>],
) -> Vec<Source<'a>> {
    let source = |record: &'a Incoming<R>| {
        let contents = record.record.contents();
        Source {
            resource,
            id: record.id,
            version: record.version.to_sqlx(),
            hash: record.content.hash.as_slice(),
            raw: record.content.compressed.as_deref(),
            items_raw: record.items_raw.as_deref(),
            run: run.number,
            lines: contents.lines,
            other_entries: contents.other_entries,
            total: contents.total,
            currency: contents.currency,
        }
    };
    records.iter().map(source).collect()
}

fn verdicts<R>(records: &[Incoming<R>], effect: i16) -> Vec<Verdict> {
    let ids = records.iter().map(|record| record.id);
    ids.map(|id| Verdict::of_new(id, effect)).collect()
}
