//! Where a number stands in a text of our own. Nothing of ours names a customer; what somebody
//! else has put there is found all the same.

use domain::shop::MerchantId;
use serde_json::Value;
use sqlx::PgConnection;

use crate::failure::Trouble;

const NOTIFICATIONS: &str = "
    SELECT to_jsonb(n) FROM salla_sync.notifications n
    WHERE n.merchant_id = $1 AND n.failure::text ~ ('\\m' || $2 || '\\M') ORDER BY n.id";

const LETTERS: &str = "
    SELECT to_jsonb(d) FROM salla_sync.dead_letters d
    WHERE strpos(d.body, $1) > 0 AND (d.body || ' ' || d.reason) ~ ('\\m' || $2 || '\\M')
    ORDER BY d.id";

/// Notifications and dead letters of a shop that name the customer.
pub(crate) async fn read(
    tx: &mut PgConnection,
    merchant: MerchantId,
    customer: i64,
) -> Result<(Vec<Value>, Vec<Value>), Trouble> {
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
pub(crate) async fn clear(
    tx: &mut PgConnection,
    merchant: MerchantId,
    (customer, stand_in): (i64, i64),
) -> Result<(u64, u64), Trouble> {
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
