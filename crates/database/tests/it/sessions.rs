//! Sessions are what we need, whatever a server, a database or a role sets.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::time::Duration;

use database::testing::{FreezingProxy, TestDatabase};
use embedded_postgres::{Durability, Lifetime, Search, Server, Settings, Wanted, find_programs};
use futures::FutureExt as _;
use importer::ports::queue::{Queue as _, QueueName};
use importer::testing::clock::a_moment;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::servers::{Administered, connect};

/// What other programs may want, and what our sessions have all the same. None is so short
/// that a busy machine is cut off before it has set its own.
const SETTINGS: [(&str, &str, &str); 16] = [
    ("statement_timeout", "1min", "0"),
    ("lock_timeout", "1min", "0"),
    ("idle_session_timeout", "1min", "0"),
    ("idle_in_transaction_session_timeout", "1min", "15s"),
    (
        "default_transaction_isolation",
        "serializable",
        "read committed",
    ),
    ("default_transaction_deferrable", "on", "off"),
    ("search_path", "nowhere", "\"\""),
    ("TimeZone", "Asia/Riyadh", "UTC"),
    ("DateStyle", "German", "ISO, MDY"),
    ("IntervalStyle", "sql_standard", "postgres"),
    ("client_encoding", "LATIN1", "UTF8"),
    ("bytea_output", "escape", "hex"),
    ("extra_float_digits", "-10", "1"),
    ("standard_conforming_strings", "off", "on"),
    ("client_min_messages", "debug5", "warning"),
    ("log_parameter_max_length_on_error", "-1", "0"),
];

#[tokio::test]
async fn what_a_database_or_a_role_sets_does_not_matter() {
    for of in ["DATABASE $db", "ROLE $role", "ROLE $role IN DATABASE $db"] {
        let administered = Administered::new().await;
        administered
            .tell("GRANT CREATE ON DATABASE $db TO $role")
            .await;
        for (name, value, _) in SETTINGS {
            administered
                .tell(&format!("ALTER {of} SET {name} = '{value}'"))
                .await;
        }
        let database = administered.connect().await.unwrap();
        database.migrate().await.unwrap();
        for (name, _, expected) in SETTINGS {
            let found: String = sqlx::query_scalar("SELECT current_setting($1)")
                .bind(name)
                .fetch_one(database.pool())
                .await
                .unwrap();
            assert_eq!(found, expected, "{name}, set for {of}");
        }
        let limits = database.foreign_limits().await.unwrap().join(", ");
        let place = of.split(' ').next().unwrap().to_lowercase();
        assert!(
            limits.contains(&format!("statement_timeout = 1min ({place} ")),
            "{limits}"
        );
        database.close().await;
        administered.end().await;
    }
}

/// Work that is stopped drops what it waits for, and the driver loses track of a BEGIN that is
/// dropped before its response.
#[tokio::test]
async fn a_transaction_that_is_dropped_while_it_begins_takes_no_later_write_with_it() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let mut dropped = 0;
    for number in 0..20 {
        // Polled once: the query is sent, and its response not awaited.
        dropped += u32::from(pool.begin().now_or_never().is_none());
        let queue = database.database().queue(QueueName::HistoricalSync);
        queue
            .send(&format!("{number}"), Duration::ZERO)
            .await
            .unwrap();
        let mut other = PgConnection::connect(&database.url()).await.unwrap();
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM salla_sync.queue_messages")
            .fetch_one(&mut other)
            .await
            .unwrap();
        assert_eq!(stored, number + 1, "what was sent is there for others");
    }
    assert!(dropped > 0, "no BEGIN was dropped before its response");
}

/// From version 17 on a transaction has a limit too, which older servers do not know.
#[tokio::test]
async fn a_limit_on_transactions_is_set_where_there_is_one() {
    let administered = Administered::new().await;
    let database = administered.open().await;
    let limit: Option<String> =
        sqlx::query_scalar("SELECT current_setting('transaction_timeout', true)")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert!(limit.is_none_or(|limit| limit == "0"));
    database.close().await;
    administered.end().await;
}

/// On the way to a distant server a transaction is idle for longer than this between two
/// statements.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_transaction_may_be_idle_for_long() {
    let db = TestDatabase::create().await;
    let options = db.pool().connect_options();
    let name = options.get_database().unwrap();
    let limit = format!("ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '1ms'");
    db.pool().execute(AssertSqlSafe(limit)).await.unwrap();
    let proxy = FreezingProxy::slow(&db.url(), Duration::from_millis(5)).await;
    let database = connect(&proxy.url()).await.unwrap();
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_may_be_idle_for_long() {
    const LISTENER: &str = "
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let db = TestDatabase::create().await;
    let name = db
        .pool()
        .connect_options()
        .get_database()
        .unwrap()
        .to_owned();
    let limit = format!("ALTER DATABASE {name} SET idle_session_timeout = '100ms'");
    db.pool().execute(AssertSqlSafe(limit)).await.unwrap();
    let database = connect(&db.url()).await.unwrap();
    let queue = database.queue(QueueName::HistoricalSync);
    let lease = Duration::from_secs(60);
    let waiting = tokio::spawn(async move { queue.receive(1, lease, lease).await });
    let mut listeners: Vec<i32> = Vec::new();
    while listeners.is_empty() {
        a_moment().await;
        listeners = sqlx::query_scalar(LISTENER)
            .fetch_all(db.pool())
            .await
            .unwrap();
    }
    // Longer than the limit.
    db.pool().execute("SELECT pg_sleep(0.4)").await.unwrap();
    let later: Vec<i32> = sqlx::query_scalar(LISTENER)
        .fetch_all(db.pool())
        .await
        .unwrap();
    assert_eq!(later, listeners);
    waiting.abort();
}

#[tokio::test]
async fn a_session_that_may_not_write_makes_room_for_one_that_may() {
    const WRITE: &str = "
        INSERT INTO salla_sync.merchants (id, salla_id, name, plan, created_at, updated_at)
        VALUES (gen_random_uuid(), (random() * 1e9)::bigint, '', '', now(), now())";
    for (of, advice) in [
        ("DATABASE $db", "ALTER DATABASE"),
        ("ROLE $role", "ALTER ROLE"),
        ("ROLE $role IN DATABASE $db", "IN DATABASE"),
    ] {
        let administered = Administered::new().await;
        administered
            .tell("GRANT CREATE ON DATABASE $db TO $role")
            .await;
        let before = administered.connect().await.unwrap();
        before.migrate().await.unwrap();
        before.require_writable().await.unwrap();
        before.close().await;
        administered
            .tell(&format!(
                "ALTER {of} SET default_transaction_read_only = on"
            ))
            .await;
        let database = administered.connect().await.unwrap();
        let refused = database.require_writable().await.unwrap_err().to_string();
        assert!(
            refused.contains("read-only") && refused.contains(advice),
            "{refused}"
        );
        let error = database.pool().execute(WRITE).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "25006");
        administered
            .tell(&format!("ALTER {of} RESET default_transaction_read_only"))
            .await;
        database.pool().execute(WRITE).await.unwrap();
        database.require_writable().await.unwrap();
        database.close().await;
        administered.end().await;
    }
}

/// A failover under one address: the sessions began while the server was a standby.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_told_and_serves_once_it_is_the_primary() {
    const WRITE: &str = "CREATE TABLE public.written ()";
    let folder = tempfile::tempdir().unwrap();
    // Root's server runs as another user.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let search = Search::from_lookup(|name| std::env::var_os(name));
    let programs = find_programs(&search, &Wanted::Any).unwrap();
    let settings = Settings {
        durability: Durability::Throwaway,
        lifetime: Lifetime::ShutDownWithUs,
        ..Settings::new(folder.path().join("db"), programs)
    };
    let start = || tokio::task::block_in_place(|| Server::start(settings.clone()).unwrap());
    let primary = start();
    let signal = primary.data_dir().join("standby.signal");
    let owner = std::fs::metadata(primary.data_dir()).unwrap();
    tokio::task::block_in_place(|| primary.stop().unwrap());
    std::fs::write(&signal, "").unwrap();
    chown(&signal, Some(owner.uid()), Some(owner.gid())).unwrap();
    let standby = start();
    let database = connect(&standby.url("postgres")).await.unwrap();
    let refused = database.require_writable().await.unwrap_err().to_string();
    assert!(
        refused.contains("is a standby") && refused.contains("primary"),
        "{refused}"
    );
    let error = database.pool().execute(WRITE).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "25006");
    database
        .pool()
        .execute("SELECT pg_promote()")
        .await
        .unwrap();
    database.require_writable().await.unwrap();
    database.pool().execute(WRITE).await.unwrap();
    database.close().await;
    tokio::task::block_in_place(|| standby.stop().unwrap());
}

/// The sessions of a transaction that is under way end with it, not in the middle of it.
#[tokio::test]
async fn work_under_way_is_not_disturbed() {
    let db = TestDatabase::create().await;
    let mut tx = db.pool().begin().await.unwrap();
    let pid = "SELECT pg_backend_pid()";
    let first: i32 = sqlx::query_scalar(pid).fetch_one(&mut *tx).await.unwrap();
    let name = db
        .pool()
        .connect_options()
        .get_database()
        .unwrap()
        .to_owned();
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    let mut other = PgConnection::connect(&db.url()).await.unwrap();
    other.execute(AssertSqlSafe(read_only)).await.unwrap();
    other.close().await.unwrap();
    let second: i32 = sqlx::query_scalar(pid).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(first, second);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn only_utf8_holds_every_character() {
    for encoding in ["SQL_ASCII", "LATIN1", "WIN1256", "ISO_8859_6"] {
        let options = format!("ENCODING '{encoding}' LOCALE 'C'");
        let administered = Administered::with(&options).await;
        let database = administered.open().await;
        for refused in [
            database.migrate().await.unwrap_err(),
            database.require_utf8().await.unwrap_err(),
        ] {
            let text = refused.to_string();
            let expected = format!("the database's encoding is {encoding}, UTF8 is needed");
            assert!(text.contains(&expected), "{text}");
            assert!(text.contains("CREATE DATABASE"), "{text}");
        }
        assert!(database.check_migration().await.is_err(), "{encoding}");
        let made = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'salla%'";
        assert_eq!(administered.ask(made).await, 0, "{encoding}");
        database.close().await;
        administered.end().await;
    }
}
