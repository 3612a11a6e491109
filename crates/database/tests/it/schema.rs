//! The schema itself: its state, its comments, and where things lie.

use database::SchemaState;
use database::testing::TestDatabase;
use sqlx::Executor;

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let db = TestDatabase::create().await;
    assert_eq!(
        db.database().schema_state().await,
        Ok(SchemaState::UpToDate)
    );
    let (a, b) = tokio::join!(db.database().migrate(), db.database().migrate());
    assert_eq!((a, b), (Ok(()), Ok(())));
    assert_eq!(
        db.database().schema_state().await,
        Ok(SchemaState::UpToDate)
    );
}

#[tokio::test]
async fn the_state_tells_old_from_unknown() {
    let db = TestDatabase::create().await;
    let database = db.database();
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM salla_sync._sqlx_migrations")
        .fetch_one(db.pool())
        .await
        .unwrap();
    let forget = "DELETE FROM salla_sync._sqlx_migrations WHERE version IN (SELECT version FROM salla_sync._sqlx_migrations ORDER BY version DESC LIMIT 2)";
    db.pool().execute(forget).await.unwrap();
    let behind = SchemaState::Behind { migrations: 2 };
    assert_eq!(database.schema_state().await, Ok(behind));
    let newer = "INSERT INTO salla_sync._sqlx_migrations SELECT 9999, description, installed_on, success, checksum, 0 FROM salla_sync._sqlx_migrations LIMIT 1";
    db.pool().execute(newer).await.unwrap();
    assert_eq!(database.schema_state().await, Ok(SchemaState::Unknown));
    let refused = database.migrate().await.unwrap_err().to_string();
    assert!(refused.contains("9999"), "{refused}");
    db.pool()
        .execute("DROP SCHEMA salla_sync CASCADE")
        .await
        .unwrap();
    let behind = SchemaState::Behind {
        migrations: usize::try_from(all).unwrap(),
    };
    assert_eq!(database.schema_state().await, Ok(behind));
}

/// Names and hashes that the program makes itself, names of keys, and the egress group, a
/// setting whose length is checked.
const BOUNDED: &[&str] = &[
    "api_tokens.hash",
    "budget_grants.budget",
    "budget_grants.egress_group",
    "budget_takers.budget",
    "budget_takers.egress_group",
    "claim_codes.hmac",
    "connections.fingerprint",
    "dead_letters.queue",
    "event_tickets.hash",
    "key_checks.key_id",
    "notification_deliveries.channel",
    "page_links.hash",
    "page_links.state",
    "queue_messages.queue",
    "rate_limits.caller",
    "rate_limits.rule",
    "refresh_tokens.hash",
    "rejected_records.kind",
    "rejected_records.record_key",
    "sealed_secrets.name",
    "sessions.former_hash",
    "sessions.hash",
    "shared_budgets.budget",
    "shared_budgets.egress_group",
    "shop_claims.account",
    "sync_runs.state",
    "used_consents.state",
];

/// Columns of texts that an index holds whole and in order: a B-tree refuses entries of
/// more than 2,704 bytes, and with it the row.
const WHOLE_TEXTS: &str = "
    SELECT DISTINCT c.relname || '.' || a.attname
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_am m ON m.oid = x.relam AND m.amname <> 'hash'
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('salla', 'salla_sync')
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
    JOIN pg_type t ON t.oid = a.atttypid AND (t.typcategory = 'S' OR t.typlen = -1 AND t.typname IN ('bytea', 'jsonb'))
    WHERE c.relname <> '_sqlx_migrations'
    ORDER BY 1";

#[tokio::test]
async fn no_index_holds_a_text_of_any_length() {
    let db = TestDatabase::create().await;
    let whole: Vec<String> = sqlx::query_scalar(WHOLE_TEXTS)
        .fetch_all(db.pool())
        .await
        .unwrap();
    assert_eq!(whole, BOUNDED);
}

/// Logical replication publishes no generated column before PostgreSQL 18, and neither
/// updates nor deletes of a table without a key.
#[tokio::test]
async fn whoever_follows_the_tables_gets_every_column_and_every_change() {
    let db = TestDatabase::create().await;
    let generated: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname || '.' || a.attname
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
         JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'salla' AND a.attgenerated <> ''",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert_eq!(generated, Vec::<String>::new());
    let without_key: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind IN ('r', 'p')
           AND (c.relreplident <> 'd'
                OR NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert_eq!(without_key, Vec::<String>::new());
}

#[tokio::test]
async fn nothing_lies_outside_the_two_schemas() {
    let db = TestDatabase::create().await;
    let others: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname NOT IN ('salla', 'salla_sync', 'pg_catalog', 'information_schema', 'pg_toast')",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert!(others.is_empty(), "{others:?}");
}

/// Columns whose name says all there is to say.
const PLAIN: [&str; 14] = [
    "merchant_id",
    "id",
    "order_id",
    "salla_id",
    "run_id",
    "product_id",
    "category_id",
    "resource",
    "name",
    "sku",
    "currency",
    "quantity",
    "tax_percent",
    "created_at",
];

/// Columns that need no comment in the table named.
const PLAIN_THERE: &[(&str, &[&str])] = &[
    (
        "_sqlx_migrations",
        &[
            "version",
            "description",
            "installed_on",
            "success",
            "checksum",
            "execution_time",
        ],
    ),
    ("merchants", &["domain"]),
    ("sync_runs", &["started_at", "completed_at"]),
    ("merchant_sync_status", &["started_at", "completed_at"]),
    ("connections", &["updated_at"]),
    ("sync_pages", &["window_id", "page", "landed_at"]),
    ("rejected_records", &["first_seen_at", "last_seen_at"]),
    ("tombstones", &["gone_at"]),
    ("order_discounts", &["title"]),
    (
        "customers",
        &[
            "first_name",
            "last_name",
            "gender",
            "birthday",
            "city",
            "country_code",
        ],
    ),
    ("products", &["weight", "brand_id", "brand_name", "url"]),
    ("product_variants", &["barcode"]),
    (
        "daily_sales",
        &["riyadh_date", "orders", "shipping", "discount", "tax"],
    ),
    (
        "daily_sales_by_currency",
        &["riyadh_date", "orders", "shipping", "discount", "tax"],
    ),
    ("shops", &["domain"]),
    (
        "product_sales",
        &["orders", "first_sold_on", "last_sold_on"],
    ),
    (
        "customer_orders",
        &[
            "customer_id",
            "orders",
            "last_order_at",
            "first_order_date",
            "last_order_date",
        ],
    ),
];

#[tokio::test]
async fn every_table_and_column_explains_itself() {
    let db = TestDatabase::create().await;
    let bare: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE c.relnamespace IN ('salla'::regnamespace, 'salla_sync'::regnamespace)
           AND c.relkind IN ('r', 'v', 'm', 'p') AND obj_description(c.oid, 'pg_class') IS NULL",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert!(bare.is_empty(), "without comment: {bare:?}");
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace IN ('salla'::regnamespace, 'salla_sync'::regnamespace)
           AND c.relkind IN ('r', 'v') AND c.relname <> 'sales' AND a.attnum > 0
           AND NOT a.attisdropped
           AND NOT (c.relname = 'all_orders' AND EXISTS (
               SELECT FROM pg_attribute o WHERE o.attrelid = 'salla.orders'::regclass
                  AND o.attname = a.attname))
           AND col_description(c.oid, a.attnum) IS NULL",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    let plain_there = |table: &str, column: &str| {
        let there = PLAIN_THERE.iter().find(|(name, _)| *name == table);
        there.is_some_and(|(_, columns)| columns.contains(&column))
    };
    let bare: Vec<String> = columns
        .into_iter()
        .filter(|(table, column)| !PLAIN.contains(&column.as_str()) && !plain_there(table, column))
        .map(|(table, column)| format!("{table}.{column}"))
        .collect();
    assert!(bare.is_empty(), "without comment: {bare:?}");
}

/// A report may name what is not there any more.
#[tokio::test]
async fn loaded_data_have_no_foreign_keys() {
    let db = TestDatabase::create().await;
    let keys: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'salla'::regnamespace",
    )
    .fetch_one(db.pool())
    .await
    .unwrap();
    assert_eq!(keys, 0);
}
