//! Forgetting a customer, in one transaction that keeps imports of the shop out.

use std::collections::HashSet;

use domain::shop::MerchantId;
use importer::ports::privacy::Redactor;
use importer::ports::records::Exclusive;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use crate::error::TxError;
use crate::keyring::Keyring;
use crate::landing::raw::{RawEncoder, decompress};
use crate::privacy::forgotten;
use crate::records::exclusive;

/// What was changed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ForgetCounts {
    pub customers: u64,
    /// Orders whose customer is the stand-in now.
    pub orders: u64,
    /// Raw texts without the customer.
    pub raw_records: u64,
    pub rejections: u64,
    /// Pages of lists that name the stand-in instead.
    pub list_pages: u64,
    pub notifications: u64,
    pub dead_letters: u64,
}

const REMEMBER: &str = "
    INSERT INTO salla_sync.forgotten_customers (merchant_id, stand_in, forgotten_at)
    VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

/// Everything of the row but its place goes.
const CUSTOMER: &str = "
    WITH gone AS (
        DELETE FROM salla.customers WHERE merchant_id = $1 AND id = $2
        RETURNING merchant_id, from_list
    )
    INSERT INTO salla.customers (merchant_id, id, from_list)
    SELECT merchant_id, $3, from_list FROM gone
    ON CONFLICT (merchant_id, id) DO UPDATE SET from_list = customers.from_list OR excluded.from_list";

const ORDERS: &str = "
    UPDATE salla.orders SET customer_id = $3 WHERE merchant_id = $1 AND customer_id = $2
    RETURNING id";

/// Orders of a customer who was forgotten before: a raw text may have come since.
const ORDERS_OF_STAND_IN: &str =
    "SELECT id FROM salla.orders WHERE merchant_id = $1 AND customer_id = $2";

const SOURCE: &str = "
    UPDATE salla_sync.source_records s
    SET salla_id = $3, list_hash = CASE WHEN s.list_hash IS NOT NULL THEN $4 END,
        list_raw = CASE WHEN s.list_raw IS NOT NULL THEN $5 END
    WHERE s.merchant_id = $1 AND s.resource = 'customers' AND s.salla_id = $2
      AND NOT EXISTS (SELECT FROM salla_sync.source_records o
                      WHERE o.merchant_id = $1 AND o.resource = 'customers' AND o.salla_id = $3)";

const SOURCE_LEFT: &str = "
    DELETE FROM salla_sync.source_records
    WHERE merchant_id = $1 AND resource = 'customers' AND salla_id = $2";

const PAGES: &str = "
    UPDATE salla_sync.sync_pages p SET ids = array_replace(p.ids, $2, $3)
    FROM salla_sync.sync_windows w JOIN salla_sync.sync_runs r ON r.id = w.run_id
    WHERE p.window_id = w.id AND w.resource = 'customers' AND r.merchant_id = $1
      AND $2 = ANY (p.ids)";

const NOTES: [&str; 2] = [
    "DELETE FROM salla_sync.changed_records
     WHERE merchant_id = $1 AND resource = 'customers' AND salla_id = $2",
    "DELETE FROM salla_sync.altered_records
     WHERE merchant_id = $1 AND resource = 'customers' AND salla_id = $2",
];

pub(crate) async fn forget(
    pool: &PgPool,
    keyring: &Keyring,
    (merchant, customer): (MerchantId, i64),
    redactor: &dyn Redactor,
    dry_run: bool,
    now: Timestamp,
) -> Result<Exclusive<ForgetCounts>, TxError> {
    let mut tx = pool.begin().await?;
    if let Some(holder) = exclusive::take(&mut tx, merchant).await? {
        return Ok(Exclusive::RunActive(holder));
    }
    let secret = forgotten::ensure_secret(&mut tx, keyring, now).await?;
    let stand_in = secret.stand_in(merchant, customer);
    sqlx::query(REMEMBER)
        .bind(merchant.0)
        .bind(stand_in)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    let whom = Whom {
        merchant,
        customer,
        stand_in,
    };
    let counts = whom.replace(&mut tx, redactor).await?;
    match dry_run {
        true => tx.rollback().await?,
        false => tx.commit().await?,
    }
    Ok(Exclusive::Done(counts))
}

#[derive(Clone, Copy)]
struct Whom {
    merchant: MerchantId,
    customer: i64,
    stand_in: i64,
}

impl Whom {
    async fn replace(
        self,
        tx: &mut PgConnection,
        redactor: &dyn Redactor,
    ) -> Result<ForgetCounts, TxError> {
        let customers = self.execute(tx, CUSTOMER).await?;
        let orders: Vec<i64> = sqlx::query_scalar(ORDERS)
            .bind(self.merchant.0)
            .bind(self.customer)
            .bind(self.stand_in)
            .fetch_all(&mut *tx)
            .await?;
        let all: Vec<i64> = sqlx::query_scalar(ORDERS_OF_STAND_IN)
            .bind(self.merchant.0)
            .bind(self.stand_in)
            .fetch_all(&mut *tx)
            .await?;
        let mut raw_records = self.source(tx, redactor).await?;
        raw_records += self.order_texts(tx, &all, redactor).await?;
        let rejections = self.rejections(tx, &all, redactor).await?;
        let list_pages = self.execute(tx, PAGES).await?;
        for sql in NOTES {
            sqlx::query(sql)
                .bind(self.merchant.0)
                .bind(self.customer)
                .execute(&mut *tx)
                .await?;
        }
        let numbers = (self.customer, self.stand_in);
        let (notifications, dead_letters) = clear_mentions(tx, self.merchant, numbers).await?;
        Ok(ForgetCounts {
            customers,
            orders: orders.len() as u64,
            raw_records,
            rejections,
            list_pages,
            notifications,
            dead_letters,
        })
    }

    /// A statement that takes the merchant, the customer and the stand-in.
    async fn execute(self, tx: &mut PgConnection, sql: &'static str) -> Result<u64, TxError> {
        let done = sqlx::query(sql)
            .bind(self.merchant.0)
            .bind(self.customer)
            .bind(self.stand_in)
            .execute(tx)
            .await?;
        Ok(done.rows_affected())
    }

    async fn source(self, tx: &mut PgConnection, redactor: &dyn Redactor) -> Result<u64, TxError> {
        let mut press = RawEncoder::new(true)?;
        let content = press.content(&redactor.customer(self.stand_in))?;
        let renamed = sqlx::query(SOURCE)
            .bind(self.merchant.0)
            .bind(self.customer)
            .bind(self.stand_in)
            .bind(content.hash.as_slice())
            .bind(content.compressed)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        let left = sqlx::query(SOURCE_LEFT)
            .bind(self.merchant.0)
            .bind(self.customer)
            .execute(tx)
            .await?
            .rows_affected();
        Ok(renamed + left)
    }
}

/// In one go from the database; an order has at most a few hundred kilobytes.
const AT_ONCE: usize = 100;

const TEXTS: &str = "
    SELECT salla_id, list_raw, detail_raw, items_raw FROM salla_sync.source_records
    WHERE merchant_id = $1 AND resource = 'orders' AND salla_id = ANY ($2)
      AND (list_raw IS NOT NULL OR detail_raw IS NOT NULL OR items_raw IS NOT NULL)";

/// With the hashes of the new texts, so that the next import finds nothing changed.
const WRITE_TEXTS: &str = "
    UPDATE salla_sync.source_records
    SET list_raw = $3, detail_raw = $4, items_raw = $5,
        list_hash = coalesce($6, list_hash), detail_hash = coalesce($7, detail_hash)
    WHERE merchant_id = $1 AND resource = 'orders' AND salla_id = $2";

type Texts = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

impl Whom {
    async fn order_texts(
        self,
        tx: &mut PgConnection,
        orders: &[i64],
        redactor: &dyn Redactor,
    ) -> Result<u64, TxError> {
        let mut press = RawEncoder::new(true)?;
        let mut written = 0;
        for orders in orders.chunks(AT_ONCE) {
            let texts: Vec<Texts> = sqlx::query_as(TEXTS)
                .bind(self.merchant.0)
                .bind(orders)
                .fetch_all(&mut *tx)
                .await?;
            for (order, list, detail, items) in texts {
                let text = |stored: Option<Vec<u8>>| stored.as_deref().map(decompress).transpose();
                let order_text = |raw: String| redactor.order(&raw, self.stand_in);
                let list = text(list)?.map(order_text);
                let detail = text(detail)?.map(order_text);
                let items = text(items)?.map(|raw| redactor.order_items(&raw));
                let hash_of_detail = match (&detail, &items) {
                    (Some(detail), Some(items)) => Some(press.content_of([detail, items])?.hash),
                    (Some(detail), None) => Some(press.content(detail)?.hash),
                    (None, _) => None,
                };
                let hash_of_list = list.as_deref().map(|raw| press.content(raw)).transpose()?;
                let mut compressed = |text: Option<String>| match text {
                    Some(text) => press.compress(&text),
                    None => Ok(None),
                };
                sqlx::query(WRITE_TEXTS)
                    .bind(self.merchant.0)
                    .bind(order)
                    .bind(compressed(list)?)
                    .bind(compressed(detail)?)
                    .bind(compressed(items)?)
                    .bind(hash_of_list.map(|content| content.hash.to_vec()))
                    .bind(hash_of_detail.map(|hash| hash.to_vec()))
                    .execute(&mut *tx)
                    .await?;
                written += 1;
            }
        }
        Ok(written)
    }
}

/// Those that may be about the customer; whether they are is read from their text.
const REJECTIONS: &str = "
    SELECT id, resource::text, salla_id, raw FROM salla_sync.rejected_records
    WHERE merchant_id = $1
      AND (resource = 'customers' AND (salla_id = $2 OR record_key = $2::text)
           OR resource = 'orders' AND (salla_id = ANY ($3) OR strpos(raw, $2::text) > 0))";

/// The certificate counts a rejection by the id that a list names, which is the stand-in's now.
const CLEAR_CUSTOMER: &str = "
    UPDATE salla_sync.rejected_records
    SET raw = $2, salla_id = $3, record_key = $3::text WHERE id = $1";

const CLEAR_ORDER: &str = "UPDATE salla_sync.rejected_records SET raw = $2 WHERE id = $1";

impl Whom {
    async fn rejections(
        self,
        tx: &mut PgConnection,
        orders: &[i64],
        redactor: &dyn Redactor,
    ) -> Result<u64, TxError> {
        let rows: Vec<(i64, String, Option<i64>, String)> = sqlx::query_as(REJECTIONS)
            .bind(self.merchant.0)
            .bind(self.customer)
            .bind(orders)
            .fetch_all(&mut *tx)
            .await?;
        let orders: HashSet<i64> = orders.iter().copied().collect();
        let mut cleared = 0;
        for (id, resource, salla_id, raw) in rows {
            if resource == "customers" {
                sqlx::query(CLEAR_CUSTOMER)
                    .bind(id)
                    .bind(redactor.customer(self.stand_in))
                    .bind(self.stand_in)
                    .execute(&mut *tx)
                    .await?;
                cleared += 1;
            } else if self.is_about(&raw, salla_id, &orders, redactor) {
                sqlx::query(CLEAR_ORDER)
                    .bind(id)
                    .bind(redactor.order(&raw, self.stand_in))
                    .execute(&mut *tx)
                    .await?;
                cleared += 1;
            }
        }
        Ok(cleared)
    }

    /// A text that cannot be read and names the number is taken for one about the customer.
    fn is_about(
        self,
        raw: &str,
        salla_id: Option<i64>,
        orders: &HashSet<i64>,
        redactor: &dyn Redactor,
    ) -> bool {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(raw).is_ok();
        let names = names_number(raw, self.customer);
        salla_id.is_some_and(|order| orders.contains(&order))
            || redactor.customer_of(raw) == Some(self.customer)
            || !is_json && names
    }
}

/// Whether a number stands in a text, and not only as a part of another one.
pub(super) fn names_number(text: &str, number: i64) -> bool {
    let number = number.to_string();
    text.match_indices(&number).any(|(at, _)| {
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        !is_digit(text[..at].chars().next_back())
            && !is_digit(text[at + number.len()..].chars().next())
    })
}

const NOTIFICATIONS: &str = "
    SELECT to_jsonb(n) FROM salla_sync.notifications n
    WHERE n.merchant_id = $1 AND n.failure::text ~ ('\\m' || $2 || '\\M') ORDER BY n.id";

const LETTERS: &str = "
    SELECT to_jsonb(d) FROM salla_sync.dead_letters d
    WHERE strpos(d.body, $1) > 0 AND (d.body || ' ' || d.reason) ~ ('\\m' || $2 || '\\M')
    ORDER BY d.id";

/// Notifications and dead letters of a shop that name the customer.
pub(crate) async fn mentions(
    tx: &mut PgConnection,
    merchant: MerchantId,
    customer: i64,
) -> Result<(Vec<Value>, Vec<Value>), TxError> {
    let notifications = sqlx::query_scalar(NOTIFICATIONS)
        .bind(merchant.0)
        .bind(customer.to_string())
        .fetch_all(&mut *tx)
        .await?;
    let letters = sqlx::query_scalar(LETTERS)
        .bind(merchant.0.to_string())
        .bind(customer.to_string())
        .fetch_all(tx)
        .await?;
    Ok((notifications, letters))
}

const CLEAR_NOTIFICATIONS: &str = "
    UPDATE salla_sync.notifications n
    SET failure = regexp_replace(n.failure::text, '\\m' || $2 || '\\M', $3, 'g')::jsonb
    WHERE n.merchant_id = $1 AND n.failure::text ~ ('\\m' || $2 || '\\M')";

const DELETE_LETTERS: &str = "
    DELETE FROM salla_sync.dead_letters d
    WHERE strpos(d.body, $1) > 0 AND (d.body || ' ' || d.reason) ~ ('\\m' || $2 || '\\M')";

/// Replaces the number in notifications, and deletes dead letters that name it.
async fn clear_mentions(
    tx: &mut PgConnection,
    merchant: MerchantId,
    (customer, stand_in): (i64, i64),
) -> Result<(u64, u64), TxError> {
    let notifications = sqlx::query(CLEAR_NOTIFICATIONS)
        .bind(merchant.0)
        .bind(customer.to_string())
        .bind(stand_in.to_string())
        .execute(&mut *tx)
        .await?;
    let letters = sqlx::query(DELETE_LETTERS)
        .bind(merchant.0.to_string())
        .bind(customer.to_string())
        .execute(tx)
        .await?;
    Ok((notifications.rows_affected(), letters.rows_affected()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_no_part_of_another_one() {
        for (text, names) in [
            ("5001", true),
            ("{\"customer\":{\"id\":5001", true),
            ("متجر5001متجر", true),
            ("15001", false),
            ("50010", false),
            ("", false),
        ] {
            assert_eq!(names_number(text, 5_001), names, "{text}");
        }
    }
}
