//! The version rule: which of the records at hand are newer than what is known.
//!
//! `salla_sync.source_records` has one row for each record, and every landing passes
//! through it first. Its row lock puts landings of the same record into a row, so
//! that each decides on what the former left behind.

use std::sync::LazyLock;

use domain::order::Version;
use domain::resource::Resource;
use jiff_sqlx::{Timestamp, ToSqlx};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::postgres::PgArguments;

use crate::columns::{Columns as _, CopyInto, OptionalText, add, columns, copy, copy_into};
use crate::error::TxError;
use crate::future::falsely_newer;
use crate::landing::entries::{Contents, Holds};
use crate::landing::raw::EncodedRaw;
use crate::transaction::LockedRun;

/// How to write the rows of records that were not known so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRows {
    /// Only we write these tables, so the rows are missing; copying them in without a lookup costs
    /// half as much.
    Absent,
    /// The same, and no record of the batch was known: there is no version to compare and no
    /// row to lock. All or none: a batch that locked known rows first and added new ones then
    /// would not take its locks in the order of ids.
    AbsentForAll,
    /// Rows were inserted by hand.
    MayExist,
}

/// A record as it stands before the version rule.
pub(crate) struct Incoming<R> {
    pub(crate) id: i64,
    pub(crate) version: Version,
    pub(crate) content: EncodedRaw,
    /// Only for an order whose items were fetched by a separate request.
    pub(crate) items_raw: Option<Vec<u8>>,
    pub(crate) record: R,
}

impl<R> Incoming<R> {
    /// The same with the record in another shape.
    pub(crate) fn with<S>(self, record: S) -> Incoming<S> {
        Incoming {
            id: self.id,
            version: self.version,
            content: self.content,
            items_raw: self.items_raw,
            record,
        }
    }
}

/// What the version rule says of a record that it let pass. Older ones and those
/// behind a tombstone are not among the changes.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct RecordChange {
    pub(crate) salla_id: i64,
    effect: i16,
    /// A header below a newer detail, or a detail below a newer header.
    pub(crate) below_other: bool,
    /// An order without details, or whose header changed since they were fetched.
    pub(crate) lacks_details: bool,
}

impl RecordChange {
    const CHANGED: i16 = 1;
    /// A record of which nothing was known.
    pub(crate) const NEW: i16 = 1 | 2 | 4;
    pub(crate) const NEW_WHOLE: i16 = Self::NEW | 8 | Self::DETAILS_OF_SHOP;
    /// The shop's first details of the order; of one that has gone, its only ones.
    const DETAILS_OF_SHOP: i16 = 32;
    /// Of a record that was gone: it is there again. Of one that has gone: it was there.
    const RETURNED_OR_LEFT: i16 = 64;

    /// Of a record that came with nothing below or above it.
    pub(crate) fn of_new(salla_id: i64, effect: i16) -> Self {
        Self {
            salla_id,
            effect,
            below_other: false,
            lacks_details: effect & 8 == 0,
        }
    }

    pub(crate) fn changed(&self) -> bool {
        self.effect & Self::CHANGED != 0
    }
    /// The run meets the record for the first time.
    pub(crate) fn first_of_run(&self) -> bool {
        self.effect & 2 != 0
    }
    /// Nothing was known of the record, so there is nothing to replace either.
    pub(crate) fn is_new(&self) -> bool {
        self.effect & 4 != 0
    }
    /// What was known of it said that it was read in the future.
    pub(crate) fn was_of_the_future(&self) -> bool {
        self.effect & 16 != 0
    }
    pub(crate) fn first_details_of_run(&self) -> bool {
        self.effect & 8 != 0
    }
    /// The shop has one record more than before.
    pub(crate) fn adds(&self) -> bool {
        self.is_new() || self.effect & Self::RETURNED_OR_LEFT != 0
    }
    /// Of a record that has gone: the shop had it.
    pub(crate) fn takes(&self) -> bool {
        self.effect & Self::RETURNED_OR_LEFT != 0
    }
    /// The shop has the details of one order more than before; of an order that has gone, one
    /// less.
    pub(crate) fn changes_details_of_shop(&self) -> bool {
        self.effect & Self::DETAILS_OF_SHOP != 0
    }
}

/// `$column` of an order's total as its row has it after a list row: a row that is not
/// written, because it says nothing new or lies below a newer detail, changes nothing.
macro_rules! listed_total {
    ($column:literal) => {
        concat!(
            $column,
            " = CASE
            WHEN s.list_hash = excluded.list_hash AND NOT $12
              OR CASE WHEN $12 THEN s.detail_version >= s.list_since
                      ELSE s.detail_version > excluded.list_version AND NOT ",
            falsely_newer!("s.detail_version", "excluded.list_version"),
            " END
            THEN s.",
            $column,
            "
            ELSE coalesce(excluded.",
            $column,
            ", CASE WHEN s.detail_version IS NOT NULL THEN s.",
            $column,
            " END) END"
        )
    };
}

/// Rows of lists. The raw text stays where the content is the same.
///
/// Versions that lie in the future end up just before this one, in the order in which they
/// were: details that had been fetched for a header are not fetched again because of it.
const LAND_LISTED: &str = concat!(
    "
    INSERT INTO salla_sync.source_records AS s
        (merchant_id, resource, salla_id, list_version, list_since, list_hash, list_raw, list_run, effect,
         lines, other_entries, total, currency)
    SELECT $1, $2::text::salla_sync.resource, r.id, r.version, r.version, r.hash, r.raw, $3, 7,
           r.lines, r.other_entries, r.total, r.currency
    FROM unnest($4::bigint[], $5::timestamptz[], $6::bytea[], $7::bytea[], $8::integer[],
                $9::integer[], $10::numeric[], $11::text[])
         AS r(id, version, hash, raw, lines, other_entries, total, currency)
    ON CONFLICT (merchant_id, resource, salla_id) DO UPDATE SET
        list_version = excluded.list_version,
        list_since = CASE
            WHEN s.list_hash IS DISTINCT FROM excluded.list_hash THEN excluded.list_since
            WHEN NOT ", falsely_newer!("s.list_since", "excluded.list_version"), " THEN s.list_since
            WHEN s.list_since > s.detail_version THEN excluded.list_since
            ELSE excluded.list_since - interval '1 microsecond' END,
        detail_version = CASE
            WHEN ", falsely_newer!("s.detail_version", "excluded.list_version"), " THEN excluded.list_version - interval '1 microsecond'
            ELSE s.detail_version END,
        list_hash = excluded.list_hash,
        list_raw = CASE WHEN s.list_hash = excluded.list_hash
                        THEN coalesce(s.list_raw, excluded.list_raw) ELSE excluded.list_raw END,
        list_run = excluded.list_run,
        gone_at = NULL,
        lines = coalesce(excluded.lines, s.lines),
        other_entries = coalesce(excluded.other_entries, s.other_entries),
        ", listed_total!("total"), ",
        ", listed_total!("currency"), ",
        effect = CASE WHEN s.list_hash = excluded.list_hash THEN 0 ELSE 1 END
               | CASE WHEN excluded.list_run IN (s.list_run, s.detail_run) THEN 0 ELSE 2 END
               | CASE WHEN s.gone_at IS NULL THEN 0 ELSE 64 END
               | CASE WHEN ", falsely_newer!("greatest(s.list_version, s.list_since, s.detail_version, s.gone_at)", "excluded.list_version"), " THEN 16 ELSE 0 END
    WHERE (s.list_version IS NULL OR s.list_version <= excluded.list_version
           OR ", falsely_newer!("s.list_version", "excluded.list_version"), ")
      AND (s.gone_at IS NULL OR s.gone_at < excluded.list_version
           OR ", falsely_newer!("s.gone_at", "excluded.list_version"), ")
    RETURNING salla_id, effect,
        coalesce(detail_version > list_version, false) AS below_other,
        detail_version IS NULL OR list_since > detail_version AS lacks_details"
);

/// `$column` of an order's total as its row has it after the whole order.
macro_rules! whole_total {
    ($column:literal) => {
        concat!(
            $column, " = CASE
            WHEN s.detail_hash = excluded.detail_hash AND s.detail_run = excluded.detail_run AND NOT $12
            THEN s.", $column, "
            WHEN CASE WHEN $12
                 THEN s.list_since > excluded.detail_version AND NOT ", falsely_newer!("s.list_since", "excluded.detail_version"), "
                 ELSE s.list_version > excluded.detail_version AND NOT ", falsely_newer!("s.list_version", "excluded.detail_version"), " END
            THEN coalesce(s.", $column, ", excluded.", $column, ")
            ELSE excluded.", $column, " END"
        )
    };
}

/// Whole orders. Nothing that a list gave before is newer, even if it says so.
const LAND_WHOLE: &str = concat!(
    "
    INSERT INTO salla_sync.source_records AS s
        (merchant_id, resource, salla_id, detail_version, detail_hash, detail_raw, items_raw, detail_run, effect,
         lines, other_entries, total, currency)
    SELECT $1, 'orders', r.id, r.version, r.hash, r.raw, r.items_raw, $2, 47,
           r.lines, r.other_entries, r.total, r.currency
    FROM unnest($3::bigint[], $4::timestamptz[], $5::bytea[], $6::bytea[], $7::bytea[], $8::integer[],
                $9::integer[], $10::numeric[], $11::text[])
         AS r(id, version, hash, raw, items_raw, lines, other_entries, total, currency)
    ON CONFLICT (merchant_id, resource, salla_id) DO UPDATE SET
        list_version = CASE
            WHEN ", falsely_newer!("s.list_version", "excluded.detail_version"), " THEN excluded.detail_version - interval '1 microsecond'
            ELSE s.list_version END,
        list_since = CASE
            WHEN ", falsely_newer!("s.list_since", "excluded.detail_version"), " THEN excluded.detail_version - interval '1 microsecond'
            ELSE s.list_since END,
        detail_version = excluded.detail_version,
        detail_hash = excluded.detail_hash,
        detail_raw = CASE WHEN s.detail_hash = excluded.detail_hash
                          THEN coalesce(s.detail_raw, excluded.detail_raw) ELSE excluded.detail_raw END,
        items_raw = CASE WHEN s.detail_hash = excluded.detail_hash
                         THEN coalesce(s.items_raw, excluded.items_raw) ELSE excluded.items_raw END,
        detail_run = excluded.detail_run,
        gone_at = NULL,
        lines = excluded.lines,
        other_entries = excluded.other_entries,
        ", whole_total!("total"), ",
        ", whole_total!("currency"), ",
        effect = CASE WHEN s.detail_hash = excluded.detail_hash THEN 0 ELSE 1 END
               | CASE WHEN excluded.detail_run IN (s.list_run, s.detail_run) THEN 0 ELSE 2 END
               | CASE WHEN excluded.detail_run = s.detail_run THEN 0 ELSE 8 END
               | CASE WHEN s.detail_version IS NULL THEN 32 ELSE 0 END
               | CASE WHEN s.gone_at IS NULL THEN 0 ELSE 64 END
               | CASE WHEN ", falsely_newer!("greatest(s.list_version, s.list_since, s.detail_version, s.gone_at)", "excluded.detail_version"), " THEN 16 ELSE 0 END
    WHERE (s.detail_version IS NULL OR s.detail_version <= excluded.detail_version
           OR ", falsely_newer!("s.detail_version", "excluded.detail_version"), ")
      AND (s.gone_at IS NULL OR s.gone_at < excluded.detail_version
           OR ", falsely_newer!("s.gone_at", "excluded.detail_version"), ")
    RETURNING salla_id, effect,
        coalesce(list_version > detail_version, false) AS below_other,
        coalesce(list_since > detail_version, false) AS lacks_details"
);

pub(crate) async fn land_listed<R: Holds>(
    tx: &mut PgConnection,
    run: &LockedRun,
    (resource, new_rows): (Resource, NewRows),
    records: &[Incoming<R>],
) -> Result<Vec<RecordChange>, TxError> {
    if new_rows == NewRows::AbsentForAll {
        return copy_listed(tx, run, resource, records).await;
    }
    let columns = SourceColumns::of(records);
    let contents = contents(records);
    let mut arguments = PgArguments::default();
    add(&mut arguments, run.merchant.0)?;
    add(&mut arguments, resource.as_str())?;
    add(&mut arguments, run.number)?;
    add(&mut arguments, columns.ids)?;
    add(&mut arguments, columns.versions)?;
    add(&mut arguments, columns.hashes)?;
    add(&mut arguments, columns.raws)?;
    ContentColumns::of(&contents).bind(&mut arguments)?;
    add(&mut arguments, run.rewrites)?;
    let changes = sqlx::query_as_with(LAND_LISTED, arguments)
        .fetch_all(tx)
        .await?;
    Ok(changes_of(run, changes, |v| !v.lacks_details))
}

pub(crate) async fn land_whole<R: Holds>(
    tx: &mut PgConnection,
    run: &LockedRun,
    new_rows: NewRows,
    records: &[Incoming<R>],
) -> Result<Vec<RecordChange>, TxError> {
    if new_rows == NewRows::AbsentForAll {
        return copy_whole(tx, run, records).await;
    }
    let columns = SourceColumns::of(records);
    let contents = contents(records);
    let mut arguments = PgArguments::default();
    add(&mut arguments, run.merchant.0)?;
    add(&mut arguments, run.number)?;
    add(&mut arguments, columns.ids)?;
    add(&mut arguments, columns.versions)?;
    add(&mut arguments, columns.hashes)?;
    add(&mut arguments, columns.raws)?;
    add(&mut arguments, columns.items_raws)?;
    ContentColumns::of(&contents).bind(&mut arguments)?;
    add(&mut arguments, run.rewrites)?;
    let changes = sqlx::query_as_with(LAND_WHOLE, arguments)
        .fetch_all(tx)
        .await?;
    Ok(changes_of(run, changes, |v| v.lacks_details))
}

/// A record that is read again keeps its place: a header that has stayed the same since
/// before the details came was written below them, however often it was listed since.
fn changes_of(
    run: &LockedRun,
    mut changes: Vec<RecordChange>,
    below: fn(&RecordChange) -> bool,
) -> Vec<RecordChange> {
    if run.rewrites {
        for change in &mut changes {
            change.effect |= RecordChange::CHANGED;
            change.below_other = below(change);
        }
    }
    changes
}

columns! {
    struct ContentColumns<'a> from &'a Contents<'a> {
        lines: Option<i32>, "integer" = |c| c.lines;
        other_entries: Option<i32>, "integer" = |c| c.other_entries;
        total: Option<Decimal>, "numeric" = |c| c.total;
        currency: OptionalText<'a>, "text" = |c| c.currency.clone();
    }
}

fn contents<R: Holds>(records: &[Incoming<R>]) -> Vec<Contents<'_>> {
    records.iter().map(|r| r.record.contents()).collect()
}

struct SourceColumns<'a> {
    ids: Vec<i64>,
    versions: Vec<jiff_sqlx::Timestamp>,
    hashes: Vec<&'a [u8]>,
    raws: Vec<Option<&'a [u8]>>,
    items_raws: Vec<Option<&'a [u8]>>,
}

impl<'a> SourceColumns<'a> {
    fn of<R>(records: &'a [Incoming<R>]) -> Self {
        Self {
            ids: records.iter().map(|r| r.id).collect(),
            versions: records.iter().map(|r| r.version.to_sqlx()).collect(),
            hashes: records.iter().map(|r| r.content.hash.as_slice()).collect(),
            raws: records
                .iter()
                .map(|r| r.content.compressed.as_deref())
                .collect(),
            items_raws: records.iter().map(|r| r.items_raw.as_deref()).collect(),
        }
    }
}

/// Records that Salla no longer has. Newer records win over the news.
const LAND_GONE: &str = concat!(
    "
    INSERT INTO salla_sync.source_records AS s (merchant_id, resource, salla_id, gone_at, gone_run, effect)
    SELECT $1, $5::text::salla_sync.resource, r.id, r.version, $2, 4
    FROM unnest($3::bigint[], $4::timestamptz[]) AS r(id, version)
    ON CONFLICT (merchant_id, resource, salla_id) DO UPDATE SET
        gone_at = excluded.gone_at, gone_run = excluded.gone_run,
        list_version = CASE WHEN ", falsely_newer!("s.list_version", "excluded.gone_at"), " THEN excluded.gone_at ELSE s.list_version END,
        list_since = CASE WHEN ", falsely_newer!("s.list_since", "excluded.gone_at"), " THEN excluded.gone_at ELSE s.list_since END,
        list_hash = NULL, list_raw = NULL, list_run = NULL,
        detail_version = NULL, detail_hash = NULL, detail_raw = NULL, items_raw = NULL, detail_run = NULL,
        lines = NULL, other_entries = NULL, total = NULL, currency = NULL,
        effect = CASE WHEN $2 IN (s.list_run, s.detail_run) THEN 2 ELSE 0 END
               | CASE WHEN s.detail_run = $2 THEN 8 ELSE 0 END
               | CASE WHEN s.detail_version IS NOT NULL THEN 32 ELSE 0 END
               | CASE WHEN s.gone_at IS NULL THEN 64 ELSE 0 END
               | CASE WHEN ", falsely_newer!("greatest(s.list_version, s.list_since, s.detail_version, s.gone_at)", "excluded.gone_at"), " THEN 16 ELSE 0 END
    WHERE (s.list_version IS NULL OR s.list_version <= excluded.gone_at
           OR ", falsely_newer!("s.list_version", "excluded.gone_at"), ")
      AND (s.detail_version IS NULL OR s.detail_version <= excluded.gone_at
           OR ", falsely_newer!("s.detail_version", "excluded.gone_at"), ")
      AND (s.gone_at IS NULL OR s.gone_at < excluded.gone_at
           OR ", falsely_newer!("s.gone_at", "excluded.gone_at"), ")
    RETURNING salla_id, effect, false AS below_other, false AS lacks_details"
);

/// For a record that has gone, "first" in the change means that the run had counted
/// it.
pub(crate) async fn land_gone(
    tx: &mut PgConnection,
    run: &LockedRun,
    resource: Resource,
    gone: &[(i64, Version)],
) -> Result<Vec<RecordChange>, TxError> {
    let ids: Vec<i64> = gone.iter().map(|(id, _)| *id).collect();
    let versions: Vec<_> = gone.iter().map(|(_, version)| version.to_sqlx()).collect();
    let changes = sqlx::query_as(LAND_GONE)
        .bind(run.merchant.0)
        .bind(run.number)
        .bind(ids)
        .bind(versions)
        .bind(resource.as_str())
        .fetch_all(tx)
        .await?;
    Ok(changes)
}

/// Of the records that are not among the changes, those that are there in a newer version.
const COUNT_PRESENT: &str = "
    SELECT count(*) FROM salla_sync.source_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource
      AND salla_id = ANY($3) AND gone_at IS NULL";

/// How many of the records are in their table after these decisions.
pub(crate) async fn count_loaded<R>(
    tx: &mut PgConnection,
    run: &LockedRun,
    resource: Resource,
    records: &[Incoming<R>],
    changes: &[RecordChange],
) -> Result<u64, TxError> {
    let mut loaded = changes.len() as u64;
    if changes.len() < records.len() {
        let mut passed: Vec<i64> = changes.iter().map(|v| v.salla_id).collect();
        passed.sort_unstable();
        let others: Vec<i64> = records
            .iter()
            .map(|r| r.id)
            .filter(|id| passed.binary_search(id).is_err())
            .collect();
        let mut arguments = PgArguments::default();
        add(&mut arguments, run.merchant.0)?;
        add(&mut arguments, resource.as_str())?;
        add(&mut arguments, others)?;
        let present: i64 = sqlx::query_scalar_with(COUNT_PRESENT, arguments)
            .fetch_one(tx)
            .await?;
        loaded += present.cast_unsigned();
    }
    Ok(loaded)
}

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
        effect: i16, "smallint" = |_| RecordChange::NEW;
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
        effect: i16, "smallint" = |_| RecordChange::NEW_WHOLE;
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
    run: &LockedRun,
    resource: Resource,
    records: &[Incoming<R>],
) -> Result<Vec<RecordChange>, TxError> {
    let sources = sources(run, resource, records);
    let rows = ListedColumns::of(&sources);
    copy(tx, run, &COPY_LISTED, &rows).await?;
    Ok(changes(records, RecordChange::NEW))
}

/// Whole orders, sorted by id.
pub(crate) async fn copy_whole<R: Holds>(
    tx: &mut PgConnection,
    run: &LockedRun,
    records: &[Incoming<R>],
) -> Result<Vec<RecordChange>, TxError> {
    let sources = sources(run, Resource::Orders, records);
    let rows = WholeColumns::of(&sources);
    copy(tx, run, &COPY_WHOLE, &rows).await?;
    Ok(changes(records, RecordChange::NEW_WHOLE))
}

fn sources<'a, R: Holds>(
    run: &LockedRun,
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

fn changes<R>(records: &[Incoming<R>], effect: i16) -> Vec<RecordChange> {
    let ids = records.iter().map(|record| record.id);
    ids.map(|id| RecordChange::of_new(id, effect)).collect()
}
