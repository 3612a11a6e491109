//! Tokens that rest, and serve again.

use domain::connection_change::ConnectionChangeKind;
use domain::failure::Disconnection;
use importer::ports::connections::{
    BeginRefresh, ConnectionState, Connections, Presentation, Presented,
};
use importer::ports::runs::Runs;

use crate::connections::{access, setup, tokens};
use crate::make::at;
use crate::refresh::granted;
use crate::shop::shop_info;

const PARKED: ConnectionState = ConnectionState::Disconnected {
    why: Disconnection::Parked,
};

#[tokio::test]
async fn parked_tokens_are_used_by_nobody_until_they_are_adopted() {
    let (db, _, connections) = setup().await;
    let mut ids = Vec::new();
    for number in [1, 2] {
        let shop = db
            .database()
            .runs()
            .ensure_merchant(&shop_info(number))
            .await;
        let given = tokens(&format!("a{number}"), Some(&format!("r{number}")));
        let opened = connections.open(&given).await.unwrap();
        connections
            .bind(opened.id, shop.unwrap(), None)
            .await
            .unwrap();
        ids.push(opened.id);
    }
    let database = db.database();
    let state = async |index: usize| connections.load(ids[index]).await.unwrap().state;
    assert_eq!(
        database.park_connections(None, true).await.unwrap().len(),
        2
    );
    assert_eq!(state(0).await, ConnectionState::Active, "a dry run");
    assert_eq!(
        database
            .park_connections(Some(1), false)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(database.park_connections(Some(1), false).await.unwrap(), []);
    assert_eq!(
        (state(0).await, state(1).await),
        (PARKED, ConnectionState::Active)
    );
    let begun = connections.begin_refresh(ids[0], 1, at(0), Presentation::Needed);
    assert!(begun.await.is_err());

    assert_eq!(
        database.adopt_connections(Some(2), false).await.unwrap(),
        []
    );
    let adopted = database.adopt_connections(Some(1), false).await.unwrap();
    assert_eq!(adopted.len(), 1);
    let read = connections.load(ids[0]).await.unwrap();
    assert_eq!((access(&read), read.state), ("a1", ConnectionState::Active));
    let begun = connections.begin_refresh(ids[0], 1, at(0), Presentation::Needed);
    assert!(matches!(begun.await.unwrap(), BeginRefresh::Granted(_)));
    let noted: Vec<String> = sqlx::query_scalar(
        "SELECT kind FROM salla_sync.connection_changes WHERE connection_id = $1 ORDER BY id",
    )
    .bind(ids[0].0)
    .fetch_all(db.pool())
    .await
    .unwrap();
    let kinds = [
        ConnectionChangeKind::Created,
        ConnectionChangeKind::Broken,
        ConnectionChangeKind::Recovered,
    ];
    assert_eq!(noted, kinds.map(ConnectionChangeKind::as_str));
}

/// Parking must not clear the record that a token was presented.
#[tokio::test]
async fn a_token_that_was_presented_before_is_in_doubt_afterwards() {
    let (db, _, connections) = setup().await;
    let shop = db.database().runs().ensure_merchant(&shop_info(1)).await;
    let id = connections
        .open(&tokens("a1", Some("r1")))
        .await
        .unwrap()
        .id;
    connections.bind(id, shop.unwrap(), None).await.unwrap();
    let begin = |presentation| connections.begin_refresh(id, 1, at(0), presentation);
    granted(begin(Presentation::Needed).await.unwrap());
    db.database().park_connections(None, false).await.unwrap();
    db.database().adopt_connections(None, false).await.unwrap();
    let state = connections.load(id).await.unwrap().state;
    let ConnectionState::Refreshing(Presented { times, is_lost, .. }) = state else {
        panic!("its fate is unknown, and not {state:?}");
    };
    assert_eq!((times, is_lost), (1, true));
    let begun = begin(Presentation::Early).await.unwrap();
    assert!(matches!(begun, BeginRefresh::InFlight(_)), "{begun:?}");
}

#[tokio::test]
async fn a_pair_that_arrives_while_the_tokens_rest_is_kept_and_rests_too() {
    let (db, _, connections) = setup().await;
    let shop = db.database().runs().ensure_merchant(&shop_info(1)).await;
    let id = connections
        .open(&tokens("a1", Some("r1")))
        .await
        .unwrap()
        .id;
    connections.bind(id, shop.unwrap(), None).await.unwrap();
    let begun = connections.begin_refresh(id, 1, at(0), Presentation::Needed);
    let intent = granted(begun.await.unwrap());
    db.database().park_connections(None, false).await.unwrap();
    let pair = tokens("a2", Some("r2"));
    let stored = connections.complete_refresh(&intent, &pair).await.unwrap();
    assert_eq!((access(&stored), stored.state), ("a2", PARKED));
    db.database().adopt_connections(None, false).await.unwrap();
    let read = connections.load(id).await.unwrap();
    assert_eq!((access(&read), read.state), ("a2", ConnectionState::Active));
}
