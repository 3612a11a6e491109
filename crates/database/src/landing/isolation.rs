//! What the database refuses is rejected, one record at a time.
//!
//! A batch lands together, which costs nothing extra. Where PostgreSQL refuses it for
//! what a record says, the transaction is begun again and the batch is halved, each part
//! behind a savepoint, until the records that are refused are alone. The others land,
//! with the checkpoint, in that one transaction: a crash in the middle leaves nothing.

use crate::landing::context::Care;
use domain::rejection::{Rejection, RejectionCode};
use sqlx::postgres::PgArguments;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::error::TxError;
use crate::error::shortly;
use crate::landing::context::LandingContext;
use crate::refusal::{Refusal, TableName};

/// Does `work` together, and if the database refuses a record of it, apart. What it
/// refuses of the checkpoint or of a rejection itself fails the second time as well. Record by
/// record takes its time, so that it belongs into work that may take long.
pub(crate) async fn rejecting<T, W, F>(mut work: W) -> Result<T, TxError>
where
    W: FnMut(Care) -> F + Send,
    F: Future<Output = Result<T, TxError>> + Send,
{
    match shortly(work(Care::Together)).await {
        Err(error) if error.is_refusal() => work(Care::Apart).await,
        result => result,
    }
}

/// Something of which many land together and each may land alone.
pub(crate) trait Lands: Sized + Sync {
    /// Whether the records can be checked without those that land with them later:
    /// then deferred constraints are checked too, which else would fail the commit.
    const IS_WHOLE: bool;

    fn land(
        ctx: &mut LandingContext<'_>,
        records: &[Self],
    ) -> impl Future<Output = Result<(), TxError>> + Send;
}

/// Lands records, and returns those that the database refused.
pub(crate) async fn land_each<'r, R: Lands>(
    ctx: &mut LandingContext<'_>,
    records: &'r [R],
) -> Result<Vec<(&'r R, Rejection)>, TxError> {
    let mut refused = Vec::new();
    if ctx.care == Care::Together {
        R::land(ctx, records).await?;
        return Ok(refused);
    }
    let mut waiting = vec![records];
    while let Some(part) = waiting.pop() {
        let Some(refusal) = land_part(ctx, part).await? else {
            continue;
        };
        if let [record] = part {
            let rejection = rejection(ctx.tx, refusal).await?;
            tracing::warn!(
                reason = rejection.message,
                at = rejection.path,
                "the database refused a record: it is rejected, the others are written"
            );
            refused.push((record, rejection));
        } else {
            // The first half first: records land in the order of their ids.
            let (first, second) = part.split_at(part.len() / 2);
            waiting.extend([second, first]);
        }
    }
    Ok(refused)
}

/// Lands a part, or leaves no trace of it and says why.
async fn land_part<R: Lands>(
    ctx: &mut LandingContext<'_>,
    part: &[R],
) -> Result<Option<Refusal>, TxError> {
    if part.is_empty() {
        return Ok(None);
    }
    let before = ctx.tally.clone();
    ctx.tx.execute("SAVEPOINT part").await?;
    let Err(error) = land_and_check(ctx, part).await else {
        ctx.tx.execute("RELEASE SAVEPOINT part").await?;
        return Ok(None);
    };
    let refusal = error.into_refusal()?;
    let undo = "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part";
    ctx.tx.execute(undo).await?;
    ctx.tally = before;
    Ok(Some(refusal))
}

async fn land_and_check<R: Lands>(ctx: &mut LandingContext<'_>, part: &[R]) -> Result<(), TxError> {
    if R::IS_WHOLE {
        ctx.tx.execute("SET CONSTRAINTS ALL DEFERRED").await?;
    }
    R::land(ctx, part).await?;
    if R::IS_WHOLE {
        ctx.tx.execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    }
    Ok(())
}

async fn rejection(tx: &mut PgConnection, refusal: Refusal) -> Result<Rejection, TxError> {
    let path = match &refusal.table {
        Some(table) => path(tx, table, &refusal).await?,
        None => misfits(tx, refusal.misfits).await?,
    };
    Ok(Rejection {
        code: RejectionCode::RefusedByDatabase,
        path,
        message: refusal.reason,
        salla_id: None,
    })
}

/// Where PostgreSQL says that the error is.
async fn path(
    tx: &mut PgConnection,
    table: &TableName,
    refusal: &Refusal,
) -> Result<String, TxError> {
    let columns = match (&refusal.column, &refusal.constraint) {
        (Some(column), _) => vec![column.clone()],
        (None, Some(constraint)) => columns_of(tx, table, constraint).await?,
        (None, None) => vec![],
    };
    Ok(match columns.as_slice() {
        [] => table.name.clone(),
        columns => format!("{}.{}", table.name, columns.join(",")),
    })
}

/// The columns of a constraint, or those that an index depends on, expressions included.
const COLUMNS: &str = "
    SELECT a.attname::text
    FROM pg_class t
    JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname = $1
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0
    WHERE t.relname = $2 AND a.attname <> 'merchant_id'
      AND (EXISTS (SELECT FROM pg_constraint c
                   WHERE c.conrelid = t.oid AND c.conname = $3 AND a.attnum = ANY (c.conkey))
           OR EXISTS (SELECT FROM pg_depend d
                      JOIN pg_class i ON i.oid = d.objid AND i.relname = $3
                                     AND i.relnamespace = t.relnamespace
                      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                        AND d.refobjid = t.oid AND d.refobjsubid = a.attnum))
    ORDER BY a.attnum";

async fn columns_of(
    tx: &mut PgConnection,
    table: &TableName,
    constraint: &str,
) -> Result<Vec<String>, TxError> {
    let columns = sqlx::query_scalar(COLUMNS)
        .bind(&table.schema)
        .bind(&table.name)
        .bind(constraint)
        .fetch_all(tx)
        .await?;
    Ok(columns)
}

const KNOWS_MISFITS: &str = "SELECT to_regproc('pg_catalog.pg_input_is_valid') IS NOT NULL";

/// The columns that refuse their values, if PostgreSQL's error does not name them.
async fn misfits(
    tx: &mut PgConnection,
    question: Option<(String, PgArguments)>,
) -> Result<String, TxError> {
    let mut columns: Vec<String> = Vec::new();
    if let Some((sql, arguments)) = question
        && sqlx::query_scalar(KNOWS_MISFITS)
            .fetch_one(&mut *tx)
            .await?
    {
        columns = sqlx::query_scalar_with(AssertSqlSafe(sql), arguments)
            .fetch_all(tx)
            .await?;
    }
    Ok(match columns.is_empty() {
        true => "$".to_owned(),
        false => columns.join(","),
    })
}
