//! A refresh token is presented once, and one last time where nobody knows its fate.

use std::sync::Arc;

use database::testing::TestDatabase;
use database::{ConnectSettings, Database};
use domain::failure::{Disconnection, Failure};
use importer::ports::clock::SystemClock;
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionState, Connections, Presentation, Presented, RefreshIntent,
};

use importer::ports::runs::Runs;
use jiff::Timestamp;

use crate::connections::{access, setup, tokens};
use crate::make::at;
use crate::shop::shop_info;

fn granted(begun: BeginRefresh) -> RefreshIntent {
    match begun {
        BeginRefresh::Granted(intent) => intent,
        other => panic!("not granted: {other:?}"),
    }
}

fn once(since: Timestamp, is_lost: bool) -> Presented {
    Presented {
        since,
        times: 1,
        is_lost,
    }
}

#[tokio::test]
async fn one_of_many_intents_is_granted() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let begin = || connections.begin_refresh(id, 1, at(5), Presentation::Needed);
    let (a, b, c, d) = tokio::join!(begin(), begin(), begin(), begin());
    let begun = [a, b, c, d].map(Result::unwrap);
    let granted = begun
        .iter()
        .filter(|b| matches!(b, BeginRefresh::Granted(_)))
        .count();
    assert_eq!(granted, 1);
    let presented = once(at(5), false);
    let waiting = |b: &&BeginRefresh| matches!(b, BeginRefresh::InFlight(p) if *p == presented);
    assert_eq!(begun.iter().filter(waiting).count(), 3);
    let seen = connections.load(id).await.unwrap();
    assert_eq!(seen.state, ConnectionState::Refreshing(presented));
    assert_eq!(access(&seen), "a1", "the old token still serves");
}

#[tokio::test]
async fn who_comes_late_gets_the_new_tokens() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let intent = granted(
        connections
            .begin_refresh(id, 1, at(0), Presentation::Needed)
            .await
            .unwrap(),
    );
    let stored = connections
        .complete_refresh(&intent, &tokens("a2", Some("r2")))
        .await
        .unwrap();
    assert_eq!(
        (access(&stored), stored.version, stored.state),
        ("a2", 2, ConnectionState::Active)
    );
    let late = connections
        .begin_refresh(id, 1, at(9), Presentation::Needed)
        .await
        .unwrap();
    assert!(matches!(late, BeginRefresh::Superseded(c) if access(&c) == "a2"));
    granted(
        connections
            .begin_refresh(id, 2, at(9), Presentation::Needed)
            .await
            .unwrap(),
    );
}

#[tokio::test]
async fn a_late_answer_never_overwrites_newer_tokens() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let intent = granted(
        connections
            .begin_refresh(id, 1, at(0), Presentation::Needed)
            .await
            .unwrap(),
    );
    connections
        .complete_refresh(&intent, &tokens("a2", Some("r2")))
        .await
        .unwrap();
    let stored = connections
        .complete_refresh(&intent, &tokens("a3", Some("r3")))
        .await
        .unwrap();
    assert_eq!((access(&stored), stored.version), ("a2", 2));
    connections.abandon_refresh(&intent).await.unwrap();
    connections
        .disconnect(id, 1, Disconnection::RefreshLost)
        .await
        .unwrap();
    let stored = connections.load(id).await.unwrap();
    assert_eq!(
        (access(&stored), stored.state),
        ("a2", ConnectionState::Active)
    );
}

#[tokio::test]
async fn an_abandoned_intent_may_be_granted_again() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let intent = granted(
        connections
            .begin_refresh(id, 1, at(0), Presentation::Needed)
            .await
            .unwrap(),
    );
    connections.abandon_refresh(&intent).await.unwrap();
    assert_eq!(
        connections.load(id).await.unwrap().state,
        ConnectionState::Active
    );
    granted(
        connections
            .begin_refresh(id, 1, at(1), Presentation::Needed)
            .await
            .unwrap(),
    );
}

#[tokio::test]
async fn a_parked_connection_grants_nothing_until_an_answer_turns_up() {
    let (_db, _, connections) = setup().await;
    let given = tokens("a1", Some("r1"));
    let Connection { id, .. } = connections.open(&given).await.unwrap();
    let intent = granted(
        connections
            .begin_refresh(id, 1, at(0), Presentation::Needed)
            .await
            .unwrap(),
    );
    let why = Disconnection::RefreshLost;
    connections.disconnect(id, 1, why).await.unwrap();
    let parked = connections.open(&given).await.unwrap();
    assert_eq!(parked.state, ConnectionState::Disconnected { why });
    let refused = connections
        .begin_refresh(id, 1, at(1), Presentation::Needed)
        .await;
    assert!(matches!(
        refused,
        Err(Failure::Disconnected(Disconnection::RefreshLost))
    ));
    let found = connections
        .complete_refresh(&intent, &tokens("a2", Some("r2")))
        .await
        .unwrap();
    assert_eq!(
        (access(&found), found.state),
        ("a2", ConnectionState::Active)
    );
}

#[tokio::test]
async fn every_reason_to_park_comes_back_as_it_was() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", None)).await.unwrap();
    for why in Disconnection::ALL {
        connections.disconnect(id, 1, why).await.unwrap();
        let state = connections.load(id).await.unwrap().state;
        assert_eq!(state, ConnectionState::Disconnected { why });
    }
}

#[tokio::test]
async fn of_many_last_intents_one_is_granted_and_nothing_after_it() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let begin = |presentation| connections.begin_refresh(id, 1, at(90), presentation);
    let first = granted(begin(Presentation::Needed).await.unwrap());
    assert_eq!(first.times, 1);
    connections.lose_refresh(&first).await.unwrap();
    let seen = once(at(90), true);
    for presentation in [Presentation::Early, Presentation::Needed] {
        let begun = begin(presentation).await.unwrap();
        assert!(
            matches!(begun, BeginRefresh::InFlight(p) if p == seen),
            "{begun:?}"
        );
    }
    let stale = Presentation::Last {
        seen: Some(once(at(90), false)),
    };
    let begun = begin(stale).await.unwrap();
    assert!(matches!(begun, BeginRefresh::InFlight(_)), "{begun:?}");

    let last = Presentation::Last { seen: Some(seen) };
    let (a, b, c) = tokio::join!(begin(last), begin(last), begin(last));
    let mut begun: Vec<RefreshIntent> = [a, b, c]
        .into_iter()
        .filter_map(|begun| match begun.unwrap() {
            BeginRefresh::Granted(intent) => Some(intent),
            _ => None,
        })
        .collect();
    assert_eq!(begun.len(), 1);
    let last = begun.remove(0);
    assert_eq!(last.times, 2);
    connections.lose_refresh(&last).await.unwrap();
    let ConnectionState::Refreshing(spent) = connections.load(id).await.unwrap().state else {
        panic!("it is not over");
    };
    assert_eq!((spent.times, spent.is_lost), (2, true));
    for presentation in [
        Presentation::Early,
        Presentation::Needed,
        Presentation::Last { seen: Some(spent) },
        Presentation::Last { seen: None },
    ] {
        let begun = begin(presentation).await.unwrap();
        assert!(matches!(begun, BeginRefresh::InFlight(_)), "{begun:?}");
    }
    let pair = tokens("a2", Some("r2"));
    let late = connections.complete_refresh(&first, &pair);
    assert_eq!(
        access(&late.await.unwrap()),
        "a2",
        "its answer has come after all"
    );
}

/// The repetition of a statement whose answer was lost, or a process that comes late.
#[tokio::test]
async fn an_intent_is_taken_back_by_its_own_name_only() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let begin = |presentation| connections.begin_refresh(id, 1, at(0), presentation);
    let first = granted(begin(Presentation::Needed).await.unwrap());
    connections.abandon_refresh(&first).await.unwrap();
    let second = granted(begin(Presentation::Needed).await.unwrap());
    let under_way = connections.load(id).await.unwrap().state;
    connections.abandon_refresh(&first).await.unwrap();
    connections.lose_refresh(&first).await.unwrap();
    assert_eq!(connections.load(id).await.unwrap().state, under_way);

    connections.lose_refresh(&second).await.unwrap();
    let last = Presentation::Last {
        seen: Some(once(at(0), true)),
    };
    let last = granted(begin(last).await.unwrap());
    for _ in 0..2 {
        connections.abandon_refresh(&last).await.unwrap();
        let state = connections.load(id).await.unwrap().state;
        assert!(
            matches!(state, ConnectionState::Refreshing(p) if p.times == 1 && p.is_lost),
            "{state:?}"
        );
    }
}

#[tokio::test]
async fn early_refreshes_keep_a_minute_from_each_other_whoever_asks() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let early = |version, now| connections.begin_refresh(id, version, now, Presentation::Early);
    let first = granted(early(1, at(100)).await.unwrap());
    connections
        .complete_refresh(&first, &tokens("a2", Some("r2")))
        .await
        .unwrap();
    for now in [at(100), at(130), at(159)] {
        let begun = early(2, now).await.unwrap();
        assert!(matches!(begun, BeginRefresh::TooSoon), "{begun:?}");
    }
    let needed = connections.begin_refresh(id, 2, at(130), Presentation::Needed);
    let second = granted(needed.await.unwrap());
    connections.abandon_refresh(&second).await.unwrap();
    let begun = early(2, at(160)).await.unwrap();
    assert!(
        matches!(begun, BeginRefresh::TooSoon),
        "a try counts: {begun:?}"
    );
    granted(early(2, at(190)).await.unwrap());
}

/// The merchant has installed the app again: another connection is the shop's now.
#[tokio::test]
async fn newer_tokens_of_the_shop_end_the_matter() {
    let (db, _, connections) = setup().await;
    let shop = db.database().runs().ensure_merchant(&shop_info(1)).await;
    let shop = shop.unwrap();
    let old = connections.open(&tokens("old", Some("r1"))).await.unwrap();
    connections.bind(old.id, shop, None).await.unwrap();
    let first = connections.begin_refresh(old.id, 1, at(0), Presentation::Needed);
    let first = granted(first.await.unwrap());
    connections.lose_refresh(&first).await.unwrap();
    let new = connections.open(&tokens("new", Some("r9"))).await.unwrap();
    connections.bind(new.id, shop, None).await.unwrap();

    let loaded = connections.load(old.id).await.unwrap();
    assert_eq!((loaded.id, access(&loaded)), (new.id, "new"));
    let last = Presentation::Last {
        seen: Some(once(at(0), true)),
    };
    for presentation in [Presentation::Early, Presentation::Needed, last] {
        let begun = connections
            .begin_refresh(old.id, 1, at(99), presentation)
            .await;
        let begun = begun.unwrap();
        assert!(
            matches!(&begun, BeginRefresh::Superseded(c) if c.id == new.id),
            "{begun:?}"
        );
    }
    let why = Disconnection::TokenRejected;
    connections.disconnect(new.id, 1, why).await.unwrap();
    let loaded = connections.load(old.id).await.unwrap();
    assert_eq!(
        loaded.id, old.id,
        "what serves no longer takes nobody's place"
    );
}

/// Many hosted databases say `off` for everybody; a crash would then undo what was committed
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

    // Between the intent and the answer: the pair is stored all the same.
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
    let elsewhere = db.database().adopt_connections(true).await.unwrap();
    assert_eq!(elsewhere.len(), 1);
    let begun = begin(opened.id).await.unwrap();
    assert!(
        matches!(begun, BeginRefresh::NotAdopted),
        "a dry run: {begun:?}"
    );
    assert_eq!(
        db.database().adopt_connections(false).await.unwrap(),
        elsewhere
    );
    assert_eq!(db.database().adopt_connections(false).await.unwrap(), []);
    granted(begin(opened.id).await.unwrap());
    granted(begin(other.id).await.unwrap());
}
