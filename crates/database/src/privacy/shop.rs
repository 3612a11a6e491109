//! Deleting everything of a shop.

use std::collections::{BTreeMap, BTreeSet};

use domain::shop::MerchantId;
use importer::ports::privacy::{Deleted, ExpiredShop};
use importer::ports::records::Exclusive;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use crate::error::TxError;
use crate::records::exclusive;

/// The app was removed and has not come back.
macro_rules! has_expired {
    ($before:literal) => {
        concat!(
            "m.uninstalled_at < ",
            $before,
            " AND NOT EXISTS (SELECT FROM salla_sync.connections c
                 WHERE c.merchant_id = m.id AND c.is_current AND c.state <> 'DISCONNECTED')"
        )
    };
}

const EXPIRED: &str = concat!(
    "SELECT m.id, m.salla_id, m.name, m.uninstalled_at FROM salla_sync.merchants m WHERE ",
    has_expired!("$1"),
    " ORDER BY m.uninstalled_at, m.id"
);

const HAS_EXPIRED: &str = concat!(
    "SELECT EXISTS (SELECT FROM salla_sync.merchants m WHERE m.id = $1 AND ",
    has_expired!("$2"),
    ")"
);

pub(crate) async fn expired(pool: &PgPool, before: Timestamp) -> Result<Vec<ExpiredShop>, TxError> {
    let rows: Vec<(Uuid, i64, String, jiff_sqlx::Timestamp)> = sqlx::query_as(EXPIRED)
        .bind(before.to_sqlx())
        .fetch_all(pool)
        .await?;
    let shops = rows.into_iter();
    let shops = shops.map(|(merchant, salla_id, name, uninstalled_at)| ExpiredShop {
        merchant: MerchantId(merchant),
        salla_id,
        name,
        uninstalled_at: uninstalled_at.to_jiff(),
    });
    Ok(shops.collect())
}

/// Rows that belong to the merchant by way of another table, or by Salla's id, or that name
/// it in a text.
const DEPENDENT: [(&str, &str); 6] = [
    (
        "salla_sync.sync_pages",
        "DELETE FROM salla_sync.sync_pages p USING salla_sync.sync_windows w, salla_sync.sync_runs r
         WHERE p.window_id = w.id AND w.run_id = r.id AND r.merchant_id = $1",
    ),
    (
        "salla_sync.sync_windows",
        "DELETE FROM salla_sync.sync_windows w USING salla_sync.sync_runs r
         WHERE w.run_id = r.id AND r.merchant_id = $1",
    ),
    (
        "salla_sync.connections",
        "DELETE FROM salla_sync.connections c USING salla_sync.merchants m
         WHERE m.id = $1 AND c.merchant_id IS NULL AND (c.salla_id = m.salla_id OR EXISTS (
             SELECT FROM salla_sync.arrivals a
             WHERE a.connection_id = c.id AND a.salla_id = m.salla_id))",
    ),
    (
        "salla_sync.sessions",
        "DELETE FROM salla_sync.sessions s USING salla_sync.merchants m
         WHERE m.id = $1 AND s.salla_id = m.salla_id",
    ),
    (
        "salla_sync.queue_messages",
        "DELETE FROM salla_sync.queue_messages WHERE strpos(body, $1::text) > 0",
    ),
    (
        "salla_sync.dead_letters",
        "DELETE FROM salla_sync.dead_letters WHERE strpos(body, $1::text) > 0",
    ),
];

/// Tables whose rows name their shop. The audit log stays: it names no customer.
const TABLES: &str = "
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'merchant_id' AND NOT a.attisdropped
    WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind IN ('r', 'p')
      AND c.relname NOT LIKE 'audit%'
    ORDER BY 1";

/// Which of them refer to which.
const REFERENCES: &str = "
    SELECT format('%I.%I', n.nspname, c.relname), format('%I.%I', fn.nspname, f.relname)
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
    WHERE k.contype = 'f' AND k.conrelid <> k.confrelid";

/// Each table before those that it refers to.
fn in_order(tables: &[String], references: &[(String, String)]) -> Vec<String> {
    let mut referring: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in references {
        referring.entry(to).or_default().insert(from);
    }
    let mut left: BTreeSet<&str> = tables.iter().map(String::as_str).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let is_free = |table: &&str| {
            let from = referring.get(*table);
            from.is_none_or(|from| from.iter().all(|table| !left.contains(table)))
        };
        let free: Vec<&str> = left.iter().copied().filter(is_free).collect();
        // Tables that refer to each other in a circle go as they come; PostgreSQL says if not.
        let next = match free.is_empty() {
            true => left.iter().copied().collect(),
            false => free,
        };
        for table in next {
            left.remove(table);
            order.push(table.to_owned());
        }
    }
    order
}

/// `expired_before`: only if its time is over still. `None` in it: it is not.
pub(crate) async fn delete(
    pool: &PgPool,
    merchant: MerchantId,
    expired_before: Option<Timestamp>,
    dry_run: bool,
) -> Result<Exclusive<Option<Deleted>>, TxError> {
    let mut tx = pool.begin().await?;
    if let Some(holder) = exclusive::take(&mut tx, merchant).await? {
        return Ok(Exclusive::RunActive(holder));
    }
    if let Some(before) = expired_before {
        let has_expired: bool = sqlx::query_scalar(HAS_EXPIRED)
            .bind(merchant.0)
            .bind(before.to_sqlx())
            .fetch_one(&mut *tx)
            .await?;
        if !has_expired {
            return Ok(Exclusive::Done(None));
        }
    }
    let deleted = delete_rows(&mut tx, merchant).await?;
    match dry_run {
        true => tx.rollback().await?,
        false => tx.commit().await?,
    }
    Ok(Exclusive::Done(Some(deleted)))
}

async fn delete_rows(tx: &mut PgConnection, merchant: MerchantId) -> Result<Deleted, TxError> {
    let mut deleted: BTreeMap<String, u64> = BTreeMap::new();
    for (table, sql) in DEPENDENT {
        let rows = sqlx::query(sql).bind(merchant.0).execute(&mut *tx).await?;
        *deleted.entry(table.to_owned()).or_default() += rows.rows_affected();
    }
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *tx).await?;
    let references: Vec<(String, String)> = sqlx::query_as(REFERENCES).fetch_all(&mut *tx).await?;
    for table in in_order(&tables, &references) {
        // The catalogue's own, quoted names.
        let sql = AssertSqlSafe(format!("DELETE FROM {table} WHERE merchant_id = $1"));
        let rows = sqlx::query(sql).bind(merchant.0).execute(&mut *tx).await?;
        *deleted.entry(table).or_default() += rows.rows_affected();
    }
    let merchants = sqlx::query("DELETE FROM salla_sync.merchants WHERE id = $1")
        .bind(merchant.0)
        .execute(tx)
        .await?;
    deleted.insert("salla_sync.merchants".to_owned(), merchants.rows_affected());
    deleted.retain(|_, rows| *rows > 0);
    Ok(deleted.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refers_to_another_table_goes_first() {
        let tables = ["a", "b", "c", "d"].map(str::to_owned);
        let references = [("a", "b"), ("b", "c"), ("d", "c"), ("x", "a")];
        let references = references.map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(in_order(&tables, &references), ["a", "d", "b", "c"]);
        let circle = [("a", "b"), ("b", "a")];
        let circle = circle.map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(in_order(&tables[..2], &circle).len(), 2);
    }
}
