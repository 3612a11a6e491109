//! Migrations need no more rights than necessary, change nothing of others, and block no other
//! session.

use std::sync::{Arc, Mutex};

use database::testing::TestDatabase;
use database::{Database, SchemaState};
use domain::failure::{DatabaseCause, Failure};
use importer::ports::clock::SystemClock;
use importer::testing::clock::a_moment;
use sqlx::migrate::Migrate as _;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::servers::{Administered, connect, connect_with};

const NO_RIGHTS: &str =
    "REVOKE ALL ON DATABASE $db FROM PUBLIC; GRANT CONNECT ON DATABASE $db TO $role";

/// Makes one migration due, as if it were a later version's.
const MAKE_ONE_DUE: &str = "
    DELETE FROM salla_sync._sqlx_migrations WHERE version = 16;
    ALTER TABLE salla_sync.connections DROP COLUMN bound_at";

#[tokio::test]
async fn schemas_that_are_there_are_used_without_a_right_on_the_database() {
    for schemas in [
        "CREATE SCHEMA salla AUTHORIZATION $role; CREATE SCHEMA salla_sync AUTHORIZATION $role",
        "CREATE SCHEMA salla; GRANT USAGE, CREATE ON SCHEMA salla TO $role;
         CREATE SCHEMA salla_sync; GRANT ALL ON SCHEMA salla_sync TO $role",
        "CREATE SCHEMA salla AUTHORIZATION $role; CREATE SCHEMA salla_sync;
         GRANT ALL ON SCHEMA salla_sync TO $role",
    ] {
        let administered = Administered::new().await;
        administered.tell(NO_RIGHTS).await;
        administered.tell(schemas).await;
        let database = administered.connect().await.unwrap();
        assert!(database.check_migration().await.unwrap() > 1, "{schemas}");
        database.migrate().await.unwrap();
        assert_eq!(
            database.schema_state().await,
            Ok(SchemaState::UpToDate),
            "{schemas}"
        );
        database.pool().execute(MAKE_ONE_DUE).await.unwrap();
        assert_eq!(database.check_migration().await, Ok(1), "{schemas}");
        database.migrate().await.unwrap();
        assert_eq!(
            database.schema_state().await,
            Ok(SchemaState::UpToDate),
            "{schemas}"
        );
        database.close().await;
        administered.end().await;
    }
}

#[tokio::test]
async fn an_upgrade_needs_no_right_to_create_schemas() {
    let administered = Administered::new().await;
    administered
        .tell("GRANT CREATE ON DATABASE $db TO $role")
        .await;
    let database = administered.connect().await.unwrap();
    database.migrate().await.unwrap();
    administered
        .tell("REVOKE ALL ON DATABASE $db FROM $role")
        .await;
    administered.tell(NO_RIGHTS).await;
    database.pool().execute(MAKE_ONE_DUE).await.unwrap();
    database.migrate().await.unwrap();
    assert_eq!(database.schema_state().await, Ok(SchemaState::UpToDate));
    database.close().await;
    administered.end().await;
}

#[tokio::test]
async fn a_missing_right_is_named_with_the_grant_before_anything_is_made() {
    for (schemas, grant) in [
        ("SELECT 1", "GRANT CREATE ON DATABASE $db TO $role"),
        (
            "CREATE SCHEMA salla_sync AUTHORIZATION $role",
            "CREATE SCHEMA salla AUTHORIZATION $role",
        ),
        (
            "CREATE SCHEMA salla_sync AUTHORIZATION $role; CREATE SCHEMA salla",
            "GRANT USAGE, CREATE ON SCHEMA salla TO $role",
        ),
        (
            "CREATE SCHEMA salla AUTHORIZATION $role; CREATE SCHEMA salla_sync;
             GRANT USAGE ON SCHEMA salla_sync TO $role",
            "GRANT USAGE, CREATE ON SCHEMA salla_sync TO $role",
        ),
    ] {
        let administered = Administered::new().await;
        administered.tell(NO_RIGHTS).await;
        administered.tell(schemas).await;
        let grant = grant
            .replace("$db", &administered.name)
            .replace("$role", &administered.role);
        let database = administered.connect().await.unwrap();
        let refused = refusal(&database).await;
        assert!(refused.contains(&grant), "{grant}: {refused}");
        assert_eq!(administered.ask(MADE).await, 0, "{schemas}");
        administered.tell(&grant).await;
        database.close().await;
        let database = administered.connect().await.unwrap();
        database.migrate().await.unwrap();
        database.close().await;
        administered.end().await;
    }
}

/// Relations and types in both schemas.
const MADE: &str = "
    SELECT count(*) FROM (
        SELECT relnamespace AS n FROM pg_class
        UNION ALL SELECT typnamespace FROM pg_type WHERE typtype = 'e'
    ) AS made JOIN pg_namespace ON pg_namespace.oid = n
    WHERE nspname IN ('salla', 'salla_sync')";

/// Both what tries it and what only looks refuse, with the same sentence.
async fn refusal(database: &Database) -> String {
    let refused = database.migrate().await.unwrap_err();
    assert_eq!(database.check_migration().await.unwrap_err(), refused);
    let Failure::Database {
        message: what,
        cause,
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!(cause, DatabaseCause::Setup, "{what}");
    what
}

#[tokio::test]
async fn what_others_have_made_is_named_and_left_alone() {
    for (own, name, objects) in [
        (
            "CREATE SCHEMA salla; CREATE TABLE salla.orders (mine int)",
            "salla.orders",
            1,
        ),
        (
            "CREATE SCHEMA salla; CREATE VIEW salla.customers AS SELECT 1",
            "salla.customers",
            1,
        ),
        (
            "CREATE SCHEMA salla; CREATE TABLE salla.sales (mine int); CREATE TABLE salla.more ()",
            "salla.sales",
            2,
        ),
        (
            "CREATE SCHEMA salla_sync; CREATE TYPE salla_sync.resource AS ENUM ('mine')",
            "salla_sync.resource",
            1,
        ),
        (
            "CREATE SCHEMA salla; CREATE MATERIALIZED VIEW salla.products AS SELECT 1",
            "salla.products",
            1,
        ),
    ] {
        let administered = Administered::new().await;
        administered.tell(own).await;
        let database = administered.open().await;
        let refused = refusal(&database).await;
        let expected = format!("{name} exists and is not salla-sync's");
        assert!(refused.contains(&expected), "{refused}");
        assert_eq!(administered.ask(MADE).await, objects, "{own}");
        database.close().await;
        administered.end().await;
    }
}

/// A schema may be shared where no names meet.
#[tokio::test]
async fn other_tables_in_the_schema_are_no_obstacle() {
    let administered = Administered::new().await;
    administered
        .tell("CREATE SCHEMA salla; CREATE TABLE salla.theirs (id int)")
        .await;
    let database = administered.open().await;
    database.migrate().await.unwrap();
    assert_eq!(database.schema_state().await, Ok(SchemaState::UpToDate));
    database.close().await;
    administered.end().await;
}

#[tokio::test]
async fn only_the_owner_of_the_tables_upgrades_them() {
    let administered = Administered::new().await;
    let owner = administered.open().await;
    owner.migrate().await.unwrap();
    owner.pool().execute(MAKE_ONE_DUE).await.unwrap();
    administered
        .tell(
            "GRANT USAGE ON SCHEMA salla, salla_sync TO $role;
             GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA salla_sync TO $role",
        )
        .await;
    let database = administered.connect().await.unwrap();
    let refused = refusal(&database).await;
    assert!(refused.contains("belong to the role postgres"), "{refused}");
    owner.close().await;
    database.close().await;
    administered.end().await;
}

/// A first installation that fails in the middle leaves nothing behind.
#[tokio::test]
async fn a_first_installation_is_whole_or_not_there() {
    let administered = Administered::new().await;
    // An index's name is no table's, so the check before does not find it.
    administered
        .tell("CREATE SCHEMA salla; CREATE TABLE salla.theirs (id int); CREATE INDEX orders_by_day ON salla.theirs (id)")
        .await;
    let database = administered.open().await;
    let refused = database.migrate().await.unwrap_err().to_string();
    assert!(refused.contains("42P07"), "{refused}");
    assert_eq!(administered.ask(MADE).await, 2);
    database.close().await;
    administered.end().await;
}

fn reporter(reports: &Mutex<Vec<String>>) -> impl Fn(&str) + Sync + '_ {
    |text| reports.lock().unwrap().push(text.to_owned())
}

/// A session that has read a table and stays idle in its transaction.
async fn idle_reader(url: &str) -> (PgConnection, i32) {
    let mut reader = PgConnection::connect(url).await.unwrap();
    reader
        .execute("SET application_name = 'a report'")
        .await
        .unwrap();
    reader.execute("BEGIN").await.unwrap();
    let secret = "SELECT 'a value of theirs', count(*) FROM salla_sync.connections";
    reader.execute(secret).await.unwrap();
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut reader)
        .await
        .unwrap();
    (reader, pid)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_names_who_is_in_its_way_and_lets_workers_work() {
    let db = TestDatabase::create().await;
    db.pool().execute(MAKE_ONE_DUE).await.unwrap();
    let (reader, pid) = idle_reader(&db.url()).await;
    let reports = Mutex::new(Vec::new());
    let report = reporter(&reports);
    let database = connect(&db.url()).await.unwrap();
    let work = async {
        while reports.lock().unwrap().is_empty() {
            a_moment().await;
        }
        // The reader is still there, and the worker gets through all the same.
        db.pool()
            .execute("DELETE FROM salla_sync.connections")
            .await
            .unwrap();
        assert_eq!(
            database.schema_state().await,
            Ok(SchemaState::Behind { migrations: 1 })
        );
        reader.close().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(database.migrate_reporting(&report), work);
    migrated.unwrap();
    assert_eq!(database.schema_state().await, Ok(SchemaState::UpToDate));
    let said = reports.lock().unwrap().join("\n");
    for part in [
        &format!("session {pid}"),
        "a report",
        "idle in transaction",
        "since 20",
        "migration 16",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("a value of theirs"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_gives_up_and_says_what_to_do() {
    let db = TestDatabase::create().await;
    db.pool().execute(MAKE_ONE_DUE).await.unwrap();
    let (mut reader, pid) = idle_reader(&db.url()).await;
    // Half a minute is over after two seconds.
    let start = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = Arc::new(SystemClock::scaled(start, 15.0));
    let database = connect_with(&db.url(), clock).await.unwrap();
    let refused = database.migrate().await.unwrap_err();
    let text = refused.to_string();
    for part in [
        &format!("session {pid}"),
        "pg_terminate_backend",
        "migrate` again",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(refused.may_pass());
    // It holds nothing any more.
    reader
        .execute("LOCK TABLE salla_sync.connections NOWAIT")
        .await
        .unwrap();
    assert_eq!(
        database.schema_state().await,
        Ok(SchemaState::Behind { migrations: 1 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_migration_is_waited_for_by_name() {
    let db = TestDatabase::create().await;
    let mut other = PgConnection::connect(&db.url()).await.unwrap();
    other
        .execute("SET application_name = 'another program'")
        .await
        .unwrap();
    other.lock().await.unwrap();
    let reports = Mutex::new(Vec::new());
    let report = reporter(&reports);
    let ending = async {
        while reports.lock().unwrap().is_empty() {
            a_moment().await;
        }
        other.close().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(db.database().migrate_reporting(&report), ending);
    migrated.unwrap();
    let said = reports.lock().unwrap().join("\n");
    assert!(said.contains("another program"), "{said}");
}
