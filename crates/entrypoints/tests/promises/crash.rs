//! A server that answers before its disk has, and then crashes.

use database::{Database, Keyring};
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionState, Connections as _, Presentation, Tokens,
};
use importer::testing::clock::a_moment;
use jiff::Timestamp;

use crate::server::{OwnServer, connect};

const PROCESS: &str = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";

fn signal(pid: i32, signal: i32) {
    // SAFETY: takes no pointers; the process is one of the test's own server.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

fn tokens(access: &str, refresh: &str) -> Tokens {
    Tokens {
        access: access.into(),
        refresh: Some(refresh.into()),
        expires_at: None,
        scope: None,
    }
}

/// The process that brings asynchronous commits to disk stands still and is then killed, as
/// the kernel does where memory runs out: everything else in the server starts again from
/// what is on disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_a_server_that_does_not_wait_for_its_disk_forgets_no_token() {
    let own = OwnServer::start(&[
        ("synchronous_commit", "off"),
        ("checkpoint_timeout", "1h"),
        ("bgwriter_lru_maxpages", "0"),
        ("autovacuum", "off"),
    ])
    .await;
    let database = connect(&own.url()).await.unwrap();
    database.migrate().await.unwrap();
    let pool = database.pool();
    for sql in ["CREATE TABLE public.others (n integer)", "CHECKPOINT"] {
        sqlx::query(sql).execute(pool).await.unwrap();
    }
    let writer: i32 = sqlx::query_scalar(PROCESS).fetch_one(pool).await.unwrap();
    signal(writer, libc::SIGSTOP);

    let (keyring, _) = Keyring::generate().unwrap();
    let connections = database.connections(keyring.clone());
    let Connection { id, .. } = connections.open(&tokens("a1", "r1")).await.unwrap();
    let now = Timestamp::UNIX_EPOCH;
    let begun = connections.begin_refresh(id, 1, now, Presentation::Needed);
    let BeginRefresh::Granted(intent) = begun.await.unwrap() else {
        panic!("there is no other process");
    };
    let pair = tokens("a2", "r2");
    connections.complete_refresh(&intent, &pair).await.unwrap();
    let begun = connections.begin_refresh(id, 2, now, Presentation::Needed);
    assert!(matches!(begun.await.unwrap(), BeginRefresh::Granted(_)));
    let other = "INSERT INTO public.others VALUES (1)";
    sqlx::query(other).execute(pool).await.unwrap();
    signal(writer, libc::SIGKILL);

    let database = after_the_crash(&own, writer).await;
    let stored = database.connections(keyring).load(id).await.unwrap();
    assert_eq!(stored.version, 2);
    assert!(
        matches!(stored.state, ConnectionState::Refreshing(presented) if presented.times == 1),
        "{:?}",
        stored.state
    );
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM public.others")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(left, 0, "the crash has cost nothing, so it shows nothing");
}

/// Once the server has noticed, and recovered.
async fn after_the_crash(own: &OwnServer, killed: i32) -> Database {
    loop {
        if let Ok(database) = connect(&own.url()).await {
            let writer = sqlx::query_scalar(PROCESS).fetch_optional(database.pool());
            let writer: Result<Option<i32>, _> = writer.await;
            if writer.is_ok_and(|writer| writer.is_some_and(|writer| writer != killed)) {
                return database;
            }
        }
        a_moment().await;
    }
}
