//! A refresh token is presented once, and one last time if its fate is unknown.

use domain::failure::{Disconnection, Failure};
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionState, Connections, Presentation, Presented, RefreshIntent,
};
use importer::ports::runs::Runs;
use jiff::Timestamp;

use crate::connections::{access, setup, tokens};
use crate::make::at;
use crate::shop::shop_info;

pub(crate) fn granted(begun: BeginRefresh) -> RefreshIntent {
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
        "a connection that no longer works replaces none"
    );
}

/// With its shop, while a response is under way.
#[tokio::test]
async fn a_connection_that_was_deleted_is_not_a_failure_of_the_database() {
    let (db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let begin = || connections.begin_refresh(id, 1, at(0), Presentation::Needed);
    let intent = granted(begin().await.unwrap());
    sqlx::query("DELETE FROM salla_sync.connections WHERE id = $1")
        .bind(id.0)
        .execute(db.pool())
        .await
        .unwrap();
    let gone = Failure::Disconnected(Disconnection::NotConnected);
    let pair = tokens("a2", Some("r2"));
    let stored = connections.complete_refresh(&intent, &pair).await;
    assert_eq!(stored.unwrap_err(), gone);
    assert_eq!(connections.load(id).await.unwrap_err(), gone);
    assert_eq!(begin().await.unwrap_err(), gone);
    // Nothing is left to take back or to end.
    connections.abandon_refresh(&intent).await.unwrap();
    connections.lose_refresh(&intent).await.unwrap();
    let why = Disconnection::RefreshLost;
    connections.disconnect(id, 1, why).await.unwrap();
}
