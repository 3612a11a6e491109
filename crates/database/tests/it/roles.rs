//! What each role sees, and that no table is forgotten.

use std::sync::Arc;

use database::testing::TestDatabase;
use database::{ConnectSettings, Database, roles_script};
use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::ports::clock::SystemClock;
use importer::ports::overview::Overview as _;
use importer::ports::platform::Records;
use importer::ports::runs::Runs as _;
use importer::testing::clock::a_moment;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use uuid::Uuid;

use crate::catalogue::{land_products, product};
use crate::make::{at, customer, ok, rejected, whole};
use crate::shop::Shop;

/// Tables that hold nothing of one merchant, or nothing that the doors may read. A new table
/// comes here by decision only.
const NOTHING_FOR_THE_DOORS: [&str; 16] = [
    "salla_sync.arrivals",
    "salla_sync.audit_log",
    "salla_sync.budget_grants",
    "salla_sync.budget_takers",
    "salla_sync.claim_codes",
    "salla_sync.dead_letters",
    "salla_sync.key_checks",
    "salla_sync.notification_deliveries",
    "salla_sync.page_links",
    "salla_sync.rate_limits",
    "salla_sync.refresh_tokens",
    "salla_sync.sealed_secrets",
    "salla_sync.sessions",
    "salla_sync.shared_budgets",
    "salla_sync.sync_pages",
    "salla_sync.used_consents",
];

/// Everything that the database has of the first shop, once more for a second one.
const SECOND_SHOP: &str = "
    DO $second$
    DECLARE
        one uuid := (SELECT id FROM salla_sync.merchants);
        two constant uuid := '0199d0a2-7c1e-7a11-8f00-000000000002';
        copied record;
    BEGIN
        SET LOCAL session_replication_role = replica;
        INSERT INTO salla_sync.merchants
        SELECT (jsonb_populate_record(NULL::salla_sync.merchants, to_jsonb(m)
            || jsonb_build_object('id', two, 'salla_id', 2))).* FROM salla_sync.merchants m;
        INSERT INTO salla_sync.shop_claims (salla_id, claimed_by, claimed_at)
        SELECT salla_id, 'link', now() FROM salla_sync.merchants;
        FOR copied IN
            SELECT c.oid::regclass AS name, (
                SELECT coalesce(jsonb_object_agg(a.attname, CASE a.attname
                    WHEN 'fingerprint' THEN to_jsonb('\\x0102'::text)
                    ELSE to_jsonb('0199d0a2-7c1e-7a11-8f00-000000000012'::text) END), '{}')
                FROM pg_attribute a
                WHERE a.attrelid = c.oid AND (a.attname = 'id' AND a.atttypid = 'uuid'::regtype
                      OR a.attname IN ('fingerprint', 'run_id')))
                    AS others,
                (SELECT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                    AND a.attname = 'id' AND a.attidentity <> '')) AS is_numbered
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind = 'r'
              AND EXISTS (SELECT FROM pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attname = 'merchant_id')
        LOOP
            EXECUTE format(
                'INSERT INTO %1$s OVERRIDING SYSTEM VALUE
                 SELECT (jsonb_populate_record(NULL::%1$s, to_jsonb(t) || %2$L::jsonb
                     || CASE WHEN %4$L THEN jsonb_build_object(''id'', (to_jsonb(t) ->> ''id'')::bigint + 1000000)
                             ELSE ''{}'' END
                     || CASE WHEN to_jsonb(t) ? ''number'' THEN jsonb_build_object(''number'', (to_jsonb(t) ->> ''number'')::bigint + 1000000)
                             ELSE ''{}'' END
                     || jsonb_build_object(''merchant_id'', %3$L))).*
                 FROM %1$s t WHERE merchant_id = %5$L',
                copied.name, copied.others, two, copied.is_numbered, one);
        END LOOP;
        INSERT INTO salla_sync.sync_windows OVERRIDING SYSTEM VALUE
        SELECT (jsonb_populate_record(NULL::salla_sync.sync_windows, to_jsonb(w)
            || jsonb_build_object('id', w.id + 1000000,
                'run_id', '0199d0a2-7c1e-7a11-8f00-000000000012'))).*
        FROM salla_sync.sync_windows w;
    END $second$";

const TWO: Uuid = Uuid::from_u128(0x0199d0a2_7c1e_7a11_8f00_000000000002);

/// Two shops with something in each table that the doors read, and the roles.
async fn two_shops() -> Shop {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1), whole(2)]).await;
    land_products(&shop, 1, 0, vec![product(77)]).await;
    let customers = vec![ok(customer(5_001)), rejected(Some(5_002), "{}")];
    shop.land(1, at(0), Records::Customers(customers)).await;
    let pool = shop.db.pool();
    let more = "
        INSERT INTO salla_sync.notifications (id, kind, merchant_id, run_id, ending, ended_at, progress, created_at)
        SELECT gen_random_uuid(), 'SYNC_COMPLETE', merchant_id, id, 1, now(), '{}', now()
        FROM salla_sync.sync_runs;
        INSERT INTO salla_sync.connections
            (id, merchant_id, is_current, fingerprint, key_id, access_token, state, created_at, updated_at)
        SELECT gen_random_uuid(), id, true, '\\x01', 'k', '', 'ACTIVE', now(), now() FROM salla_sync.merchants;
        INSERT INTO salla_sync.queue_messages (id, queue, body, sent_at, visible_at)
        SELECT gen_random_uuid(), 'historical-sync', '{\"merchantId\":\"' || id || '\"}', now(), now()
        FROM salla_sync.merchants
        UNION ALL SELECT gen_random_uuid(), 'historical-sync',
            '{\"merchantId\":\"0199d0a2-7c1e-7a11-8f00-000000000002\"}', now(), now();
        INSERT INTO salla_sync.pending_details (merchant_id, order_id, run_id, created_at)
        SELECT merchant_id, 1, id, now() FROM salla_sync.sync_runs";
    pool.execute(more).await.unwrap();
    pool.execute(SECOND_SHOP).await.unwrap();
    shop.db.database().create_roles().await.unwrap();
    shop
}

async fn act_as(connection: &mut PgConnection, role: &str, merchant: Option<MerchantId>) {
    let role = format!("SET ROLE {role}");
    connection.execute(AssertSqlSafe(role)).await.unwrap();
    let merchant = merchant.map_or(String::new(), |merchant| merchant.0.to_string());
    sqlx::query("SELECT set_config('salla_sync.merchant', $1, false)")
        .bind(merchant)
        .execute(connection)
        .await
        .unwrap();
}

/// Tables and views that the present role may read, whole or in part.
async fn readable(connection: &mut PgConnection) -> Vec<String> {
    let sql = "
        SELECT n.nspname || '.' || c.relname FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind IN ('r', 'v')
          AND c.relname <> '_sqlx_migrations'
          AND has_any_column_privilege(c.oid, 'SELECT') ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
}

/// Without any condition of the query's own.
async fn rows(connection: &mut PgConnection, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let counted = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection);
    counted
        .await
        .unwrap_or_else(|error| panic!("{table}: {error}"))
}

#[tokio::test]
async fn every_table_is_secured_or_left_out_by_decision() {
    let db = TestDatabase::create().await;
    let database = db.database();
    let before = database.roles_status().await.unwrap();
    assert_eq!(before.secured_tables, 0);
    assert!(before.is_exempt && !before.is_complete());
    let (one, other) = tokio::join!(database.create_roles(), database.create_roles());
    assert!(one.is_ok() || other.is_ok(), "{one:?}, {other:?}");
    database.create_roles().await.unwrap();
    let status = database.roles_status().await.unwrap();
    assert!(status.is_complete(), "{status:?}");
    assert!(status.is_exempt && status.may_be_confined && !status.sees_nothing);
    let without: Vec<String> = sqlx::query_scalar(
        "SELECT n.nspname || '.' || c.relname FROM pg_policy p
         JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE p.polname = 'web' AND pg_get_expr(p.polqual, c.oid) = 'false' ORDER BY 1",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert_eq!(without, NOTHING_FOR_THE_DOORS);

    let table = "CREATE TABLE salla_sync.later (merchant_id uuid)";
    db.pool().execute(table).await.unwrap();
    let status = database.roles_status().await.unwrap();
    assert_eq!(status.open_tables, ["salla_sync.later"]);
    database.renew_policies().await.unwrap();
    assert!(database.roles_status().await.unwrap().is_complete());
}

/// Another session has locked a table and wants one that is secured before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_created_although_another_session_locks_tables_in_another_order() {
    const WAITS: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
                           AND relation = 'salla_sync.sync_runs'::regclass)";
    let db = TestDatabase::create().await;
    let mut other = db.pool().acquire().await.unwrap();
    // So that the one that creates the roles is ended.
    other.execute("SET deadlock_timeout = '1h'").await.unwrap();
    let lock = "BEGIN; LOCK TABLE salla_sync.sync_runs IN ROW EXCLUSIVE MODE";
    other.execute(lock).await.unwrap();
    let created = async { db.database().create_roles().await };
    let crossed = async {
        while !sqlx::query_scalar::<_, bool>(WAITS)
            .fetch_one(db.pool())
            .await
            .unwrap()
        {
            a_moment().await;
        }
        let lock = "LOCK TABLE salla.orders IN ROW EXCLUSIVE MODE";
        other.execute(lock).await.unwrap();
        other.execute("COMMIT").await.unwrap();
    };
    let (created, ()) = tokio::join!(created, crossed);
    assert_eq!(created, Ok(()));
}

#[tokio::test]
async fn the_doors_see_one_merchants_rows_whatever_they_request() {
    let shop = two_shops().await;
    let mut connection = shop.db.pool().acquire().await.unwrap();
    act_as(&mut connection, "salla_sync_web", None).await;
    let tables = readable(&mut connection).await;
    assert!(tables.len() > 20, "{tables:?}");
    for table in &tables {
        assert_eq!(
            rows(&mut connection, table).await,
            0,
            "{table}, nothing set"
        );
    }
    act_as(&mut connection, "salla_sync_web", Some(shop.merchant)).await;
    let mut own = Vec::new();
    for table in &tables {
        own.push(rows(&mut connection, table).await);
    }
    act_as(&mut connection, "salla_sync_web", Some(MerchantId(TWO))).await;
    let mut of_other = Vec::new();
    for table in &tables {
        of_other.push(rows(&mut connection, table).await);
    }
    connection.execute("RESET ROLE").await.unwrap();
    for (table, (own, other)) in tables.iter().zip(own.into_iter().zip(of_other)) {
        let all = rows(&mut connection, table).await;
        assert_eq!(own + other, all, "{table}");
        if !table.starts_with("salla.") || table == "salla.orders" {
            assert!(own > 0 && other > 0, "{table}: {own} and {other}");
        }
    }
}

#[tokio::test]
async fn the_doors_change_one_merchants_rows_whatever_they_request() {
    let shop = two_shops().await;
    let mut connection = shop.db.pool().acquire().await.unwrap();
    act_as(&mut connection, "salla_sync_web", Some(shop.merchant)).await;
    for (sql, changed) in [
        ("UPDATE salla_sync.sync_runs SET months = 99", 1),
        ("UPDATE salla_sync.merchant_sync_status SET pages = 99", 1),
        ("UPDATE salla_sync.notifications SET read_at = now()", 1),
    ] {
        let done = connection.execute(sql).await.unwrap();
        assert_eq!(done.rows_affected(), changed, "{sql}");
    }
    let foreign = "
        INSERT INTO salla_sync.sync_runs
            (id, merchant_id, state, months, keep_raw, range_from, range_to, created_at)
        VALUES (gen_random_uuid(), '0199d0a2-7c1e-7a11-8f00-000000000002', 'COMPLETED', 12, true,
                '2025-01-01', '2025-12-31', now())";
    for sql in [
        foreign,
        "UPDATE salla_sync.sync_runs SET merchant_id = '0199d0a2-7c1e-7a11-8f00-000000000002'",
        "INSERT INTO salla_sync.queue_messages (id, queue, body, sent_at, visible_at)
         VALUES (gen_random_uuid(), 'historical-sync', '{}', now(), now())",
        "UPDATE salla.orders SET total = 0",
        "DELETE FROM salla_sync.sync_runs",
        "SELECT access_token FROM salla_sync.connections",
        "SELECT list_raw FROM salla_sync.source_records",
        "SELECT hash FROM salla_sync.api_tokens",
    ] {
        let refused = connection.execute(sql).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn the_other_roles_and_who_was_granted_a_table_see_all_rows() {
    let shop = two_shops().await;
    let mut connection = shop.db.pool().acquire().await.unwrap();
    let reader = format!("reader_{}", Uuid::now_v7().simple());
    let make = format!(
        "CREATE ROLE {reader}; GRANT USAGE ON SCHEMA salla TO {reader};
         GRANT SELECT ON ALL TABLES IN SCHEMA salla TO {reader};
         GRANT USAGE ON SCHEMA salla_sync TO {reader};
         GRANT SELECT (id, salla_id, name, currency, plan, domain) ON salla_sync.merchants TO {reader};
         GRANT SELECT (merchant_id, state, only_resource, max_orders, range_from, range_to, certificate)
             ON salla_sync.sync_runs TO {reader}"
    );
    connection.execute(AssertSqlSafe(make)).await.unwrap();
    let roles = ["salla_sync_worker", "salla_sync_reports", "salla_sync_cdc"];
    for role in roles.into_iter().chain([reader.as_str()]) {
        act_as(&mut connection, role, None).await;
        for table in readable(&mut connection).await {
            let seen = rows(&mut connection, &table).await;
            connection.execute("RESET ROLE").await.unwrap();
            assert_eq!(seen, rows(&mut connection, &table).await, "{role}: {table}");
            act_as(&mut connection, role, None).await;
        }
        assert_eq!(rows(&mut connection, "salla.orders").await, 4, "{role}");
    }
    let forget = format!("RESET ROLE; DROP OWNED BY {reader}; DROP ROLE {reader}");
    connection.execute(AssertSqlSafe(forget)).await.unwrap();
}

#[tokio::test]
async fn what_is_done_for_a_merchant_is_done_as_the_doors() {
    let shop = two_shops().await;
    let database = shop.db.database().confined();
    let status = database.overview().status(shop.merchant).await.unwrap();
    assert_eq!(status.unwrap().run.merchant, shop.merchant);
    let status = database.overview().status(MerchantId(TWO)).await.unwrap();
    assert_eq!(status.unwrap().run.merchant, MerchantId(TWO));
    let unknown = MerchantId(Uuid::from_u128(3));
    assert_eq!(database.overview().status(unknown).await, Ok(None));
    // The next user of the connection has no merchant.
    let left: (String, Option<String>) =
        sqlx::query_as("SELECT current_user::text, current_setting('salla_sync.merchant', true)")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert_ne!(left.0, "salla_sync_web");
    assert_eq!(left.1.unwrap_or_default(), "");
}

/// A login that is neither the owner nor exempt may not copy, and lands all the same.
#[tokio::test]
async fn a_worker_that_is_not_exempt_lands_the_same_rows() {
    let mut shop = Shop::open().await;
    shop.db.database().create_roles().await.unwrap();
    let url = format!("{}&options=-c%20role%3Dsalla_sync_worker", shop.db.url());
    let url = match shop.db.url().contains('?') {
        true => url,
        false => url.replacen('&', "?", 1),
    };
    let clock = Arc::new(SystemClock::real());
    let database = Database::connect(ConnectSettings::new(url.into()), clock)
        .await
        .unwrap();
    let status = database.roles_status().await.unwrap();
    assert!(!status.is_exempt && !status.sees_nothing, "{status:?}");
    shop.landing = database.landing();
    shop.land_orders(1, at(0), &[whole(1), whole(2)]).await;
    land_products(&shop, 1, 0, vec![product(77)]).await;
    assert_eq!(shop.rows("salla.orders").await, 2);
    assert!(shop.rows("salla.order_items").await > 0);
    assert_eq!(shop.count(Resource::Orders).await.loaded, 2);
    assert!(
        database
            .runs()
            .latest(shop.merchant)
            .await
            .unwrap()
            .is_some()
    );
    database.close().await;
}

#[test]
fn the_script_is_one_transaction_that_may_be_read() {
    let script = roles_script();
    assert!(script.starts_with("BEGIN;") && script.ends_with("COMMIT;\n"));
    assert!(script.contains("CREATE ROLE %I NOLOGIN"));
}
