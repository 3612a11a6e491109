//! What tokens survive: a crash, a row that goes back, a copy of the database.

use std::sync::Arc;

use database::testing::TestDatabase;
use database::{ConnectSettings, Database};
use domain::failure::Disconnection;
use importer::ports::clock::SystemClock;
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionState, Connections, Presentation,
};

use crate::connections::{access, setup, tokens};
use crate::make::at;
use crate::refresh::granted;

/// Many hosted databases set `off` for all sessions; a crash would then undo what was committed
/// just before a request was sent that nothing undoes.
#[tokio::test]
async fn tokens_are_durable_whatever_the_database_says() {
    let (db, keyring, _) = setup().await;
    for sql in [
        "CREATE TABLE public.commits (setting text)",
        "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO public.commits VALUES (current_setting('synchronous_commit'));
                 RETURN NULL;
             END $$",
        "CREATE CONSTRAINT TRIGGER note AFTER INSERT OR UPDATE ON salla_sync.connections
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.note()",
    ] {
        sqlx::query(sql).execute(db.pool()).await.unwrap();
    }
    for (setting, expected) in [
        ("off", "on"),
        ("local", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        sqlx::query("DELETE FROM public.commits")
            .execute(db.pool())
            .await
            .unwrap();
        let connections = with_setting(&db, setting)
            .await
            .connections(keyring.clone());
        let given = tokens(&format!("a {setting}"), Some(setting));
        let Connection { id, .. } = connections.open(&given).await.unwrap();
        let begin = |version| connections.begin_refresh(id, version, at(0), Presentation::Needed);
        let taken_back = granted(begin(1).await.unwrap());
        connections.abandon_refresh(&taken_back).await.unwrap();
        let lost = granted(begin(1).await.unwrap());
        connections.lose_refresh(&lost).await.unwrap();
        let pair = tokens("b", Some("s"));
        connections.complete_refresh(&lost, &pair).await.unwrap();
        let why = Disconnection::TokenRejected;
        connections.disconnect(id, 2, why).await.unwrap();
        let settings: Vec<String> = sqlx::query_scalar("SELECT setting FROM public.commits")
            .fetch_all(db.pool())
            .await
            .unwrap();
        assert_eq!(settings, [expected; 7], "{setting}");
    }
}

async fn with_setting(db: &TestDatabase, setting: &str) -> Database {
    let url = db.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}options=-c%20synchronous_commit%3D{setting}");
    let settings = ConnectSettings::new(url.into());
    Database::connect(settings, Arc::new(SystemClock::real()))
        .await
        .unwrap()
}

/// A failover to a replica that lacks the last commits, or a restore in place.
#[tokio::test]
async fn a_row_that_goes_back_is_written_again_by_whoever_knows_better() {
    let (db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let begin = |version| connections.begin_refresh(id, version, at(0), Presentation::Needed);
    go_back(
        &db,
        "CREATE TABLE public.before AS TABLE salla_sync.connections",
    )
    .await;
    let intent = granted(begin(1).await.unwrap());
    let second = tokens("a2", Some("r2"));
    let known = connections
        .complete_refresh(&intent, &second)
        .await
        .unwrap();

    // Before the next refresh: nothing is granted on an older row.
    go_back(&db, BACK).await;
    let begun = begin(2).await.unwrap();
    assert!(
        matches!(begun, BeginRefresh::Behind { stored: 1 }),
        "{begun:?}"
    );
    let restored = connections.restore(&known, 1).await.unwrap();
    assert_eq!((access(&restored), restored.version), ("a2", 2));
    assert_eq!(restored.state, ConnectionState::Active);
    assert_eq!(restored.tokens.expires_at, known.tokens.expires_at);

    // Between the intent and the response: the pair is stored all the same.
    let intent = granted(begin(2).await.unwrap());
    go_back(&db, BACK).await;
    let third = tokens("a3", Some("r3"));
    let stored = connections.complete_refresh(&intent, &third).await.unwrap();
    assert_eq!((access(&stored), stored.version), ("a3", 3));

    // What is there is newer, or changed meanwhile.
    for stored in [1, 2] {
        let found = connections.restore(&known, stored).await.unwrap();
        assert_eq!((access(&found), found.version), ("a3", 3));
    }
}

/// The account beside the tokens' hashes does not go back with the row.
#[tokio::test]
async fn a_row_that_goes_back_makes_no_token_look_unused() {
    let (db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let begin = |presentation| connections.begin_refresh(id, 1, at(0), presentation);
    let in_flight = |begun| match begun {
        BeginRefresh::InFlight(presented) => presented,
        other => panic!("{other:?}"),
    };
    go_back(
        &db,
        "CREATE TABLE public.before AS TABLE salla_sync.connections",
    )
    .await;

    // What was taken back was not presented.
    let intent = granted(begin(Presentation::Needed).await.unwrap());
    go_back(&db, BACK).await;
    connections.abandon_refresh(&intent).await.unwrap();
    granted(begin(Presentation::Needed).await.unwrap());

    // Once, and the last time.
    for times in [1, 2] {
        go_back(&db, BACK).await;
        let early = in_flight(begin(Presentation::Early).await.unwrap());
        assert_eq!((early.times, early.is_lost), (times, false));
        let known = connections.load(id).await.unwrap().state;
        assert_eq!(known, ConnectionState::Refreshing(early));
        let seen = Some(early);
        let last = begin(Presentation::Last { seen }).await.unwrap();
        match times {
            1 => assert_eq!(granted(last).times, 2),
            _ => assert_eq!(in_flight(last).times, 2),
        }
    }
}

/// A process that knows no better has only the row, whose token another one has replaced.
#[tokio::test]
async fn a_token_that_was_replaced_is_not_presented_again() {
    let (db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    go_back(
        &db,
        "CREATE TABLE public.before AS TABLE salla_sync.connections",
    )
    .await;
    let begin = |presentation| connections.begin_refresh(id, 1, at(0), presentation);
    let intent = granted(begin(Presentation::Needed).await.unwrap());
    let pair = tokens("a2", Some("r2"));
    let newer = connections.complete_refresh(&intent, &pair).await.unwrap();
    go_back(&db, BACK).await;
    for _ in 0..2 {
        let begun = begin(Presentation::Needed).await.unwrap();
        assert!(
            matches!(begun, BeginRefresh::InFlight(seen) if seen.times == 2),
            "{begun:?}"
        );
    }
    // The process that has the pair brings it.
    let restored = connections.restore(&newer, 1).await.unwrap();
    assert_eq!(restored.state, ConnectionState::Active);
    let begun = connections.begin_refresh(id, 2, at(0), Presentation::Needed);
    assert_eq!(granted(begun.await.unwrap()).times, 1);
}

const BACK: &str = "
    UPDATE salla_sync.connections c SET version = b.version, state = b.state,
        access_token = b.access_token, refresh_token = b.refresh_token,
        refresh_started_at = b.refresh_started_at, refresh_intent = b.refresh_intent,
        refresh_presentations = b.refresh_presentations, refresh_lost_at = b.refresh_lost_at
    FROM public.before b WHERE b.id = c.id";

async fn go_back(db: &TestDatabase, sql: &'static str) {
    sqlx::query(sql).execute(db.pool()).await.unwrap();
}

/// A copy, a restored backup, a replica that was promoted.
#[tokio::test]
async fn nothing_is_refreshed_in_another_database_until_it_is_adopted() {
    let (db, _, connections) = setup().await;
    let opened = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let other = connections.open(&tokens("b1", Some("s1"))).await.unwrap();
    let begin = |id| connections.begin_refresh(id, 1, at(0), Presentation::Needed);
    let home: String = sqlx::query_scalar("SELECT salla_sync.home()")
        .fetch_one(db.pool())
        .await
        .unwrap();
    let parts: Vec<&str> = home.split('/').collect();
    assert!(
        parts.len() == 3 && parts.iter().all(|part| !part.is_empty()),
        "{home}"
    );
    // Another system, another timeline, another database of the same server.
    for elsewhere in [
        format!("1{home}"),
        format!("{}/000000FF/{}", parts[0], parts[2]),
        format!("{home}1"),
    ] {
        sqlx::query("UPDATE salla_sync.connections SET home = $2 WHERE id = $1")
            .bind(opened.id.0)
            .bind(&elsewhere)
            .execute(db.pool())
            .await
            .unwrap();
        let begun = begin(opened.id).await.unwrap();
        assert!(matches!(begun, BeginRefresh::NotAdopted), "{begun:?}");
        let state = connections.load(opened.id).await.unwrap().state;
        assert_eq!(state, ConnectionState::Active, "{elsewhere}");
    }
    let elsewhere = db.database().adopt_connections(None, true).await.unwrap();
    assert_eq!(elsewhere.len(), 1);
    let begun = begin(opened.id).await.unwrap();
    assert!(
        matches!(begun, BeginRefresh::NotAdopted),
        "a dry run: {begun:?}"
    );
    assert_eq!(
        db.database().adopt_connections(None, false).await.unwrap(),
        elsewhere
    );
    assert_eq!(
        db.database().adopt_connections(None, false).await.unwrap(),
        []
    );
    granted(begin(opened.id).await.unwrap());
    granted(begin(other.id).await.unwrap());
}

/// Aurora has the functions and refuses to run them, each version in other words.
#[tokio::test]
async fn a_server_that_does_not_say_who_it_is_has_no_identity() {
    let (db, _, connections) = setup().await;
    for condition in ["42501", "42883", "0A000", "55000", "XX000"] {
        let refusing = format!(
            "CREATE SCHEMA IF NOT EXISTS refusing;
             CREATE OR REPLACE FUNCTION refusing.pg_current_wal_lsn() RETURNS pg_lsn
             LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{condition}'; END $$;
             SET LOCAL search_path = refusing, pg_catalog"
        );
        let mut tx = db.pool().begin().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(refusing))
            .execute(&mut *tx)
            .await
            .unwrap();
        let home: Option<String> = sqlx::query_scalar("SELECT salla_sync.home()")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(home, None, "{condition}");
        tx.rollback().await.unwrap();
    }
    // Such a server refreshes what it has stored.
    let opened = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let nowhere = "CREATE OR REPLACE FUNCTION salla_sync.home() RETURNS text
        LANGUAGE sql STABLE AS 'SELECT NULL::text'";
    go_back(&db, nowhere).await;
    let begun = connections.begin_refresh(opened.id, 1, at(0), Presentation::Needed);
    granted(begun.await.unwrap());
}
