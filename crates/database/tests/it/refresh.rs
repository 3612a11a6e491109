//! A refresh token is presented at most once.

use domain::failure::{Disconnection, Failure};
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionState, Connections, RefreshIntent,
};

use crate::connections::{access, setup, tokens};
use crate::make::at;

fn granted(begun: BeginRefresh) -> RefreshIntent {
    match begun {
        BeginRefresh::Granted(intent) => intent,
        other => panic!("not granted: {other:?}"),
    }
}

#[tokio::test]
async fn one_of_many_intents_is_granted() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let begin = || connections.begin_refresh(id, 1, at(5));
    let (a, b, c, d) = tokio::join!(begin(), begin(), begin(), begin());
    let begun = [a, b, c, d].map(Result::unwrap);
    let granted = begun
        .iter()
        .filter(|b| matches!(b, BeginRefresh::Granted(_)))
        .count();
    assert_eq!(granted, 1);
    let waiting =
        |b: &&BeginRefresh| matches!(b, BeginRefresh::InFlight { since } if *since == at(5));
    assert_eq!(begun.iter().filter(waiting).count(), 3);
    let seen = connections.load(id).await.unwrap();
    assert_eq!(seen.state, ConnectionState::Refreshing { since: at(5) });
    assert_eq!(access(&seen), "a1", "the old token still serves");
}

#[tokio::test]
async fn who_comes_late_gets_the_new_tokens() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let intent = granted(connections.begin_refresh(id, 1, at(0)).await.unwrap());
    let stored = connections
        .complete_refresh(&intent, &tokens("a2", Some("r2")))
        .await
        .unwrap();
    assert_eq!(
        (access(&stored), stored.version, stored.state),
        ("a2", 2, ConnectionState::Active)
    );
    let late = connections.begin_refresh(id, 1, at(9)).await.unwrap();
    assert!(matches!(late, BeginRefresh::Superseded(c) if access(&c) == "a2"));
    granted(connections.begin_refresh(id, 2, at(9)).await.unwrap());
}

#[tokio::test]
async fn a_late_answer_never_overwrites_newer_tokens() {
    let (_db, _, connections) = setup().await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let intent = granted(connections.begin_refresh(id, 1, at(0)).await.unwrap());
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
    let intent = granted(connections.begin_refresh(id, 1, at(0)).await.unwrap());
    connections.abandon_refresh(&intent).await.unwrap();
    assert_eq!(
        connections.load(id).await.unwrap().state,
        ConnectionState::Active
    );
    granted(connections.begin_refresh(id, 1, at(1)).await.unwrap());
}

#[tokio::test]
async fn a_parked_connection_grants_nothing_until_an_answer_turns_up() {
    let (_db, _, connections) = setup().await;
    let given = tokens("a1", Some("r1"));
    let Connection { id, .. } = connections.open(&given).await.unwrap();
    let intent = granted(connections.begin_refresh(id, 1, at(0)).await.unwrap());
    let why = Disconnection::RefreshLost;
    connections.disconnect(id, 1, why).await.unwrap();
    let parked = connections.open(&given).await.unwrap();
    assert_eq!(parked.state, ConnectionState::Disconnected { why });
    let refused = connections.begin_refresh(id, 1, at(1)).await;
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
