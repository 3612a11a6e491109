//! A shop that was disconnected because the fate of its refresh token was unknown is retried, and
//! no token is presented more than twice.

use database::Retried;
use domain::failure::Disconnection;
use importer::ports::connections::{
    Connection, ConnectionState, Connections as _, Presentation, Presented,
};
use importer::ports::runs::Runs as _;

use crate::connections::{setup, tokens};
use crate::make::at;
use crate::refresh::granted;
use crate::shop::shop_info;

#[tokio::test]
async fn a_token_in_doubt_has_one_last_presentation_and_no_more() {
    let (db, _, connections) = setup().await;
    assert_eq!(connections.retry(1).await, Ok(Retried::Unknown));
    let shop = db.database().runs().ensure_merchant(&shop_info(1)).await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    connections.bind(id, shop.unwrap(), None).await.unwrap();
    assert_eq!(connections.retry(1).await, Ok(Retried::Serves));

    let begin = |presentation| connections.begin_refresh(id, 1, at(500), presentation);
    let first = granted(begin(Presentation::Needed).await.unwrap());
    connections.lose_refresh(&first).await.unwrap();
    let lost = Disconnection::RefreshLost;
    connections.disconnect(id, 1, lost).await.unwrap();
    assert_eq!(connections.retry(1).await, Ok(Retried::Granted));
    assert_eq!(connections.retry(1).await, Ok(Retried::Serves));
    let ConnectionState::Refreshing(seen) = connections.load(id).await.unwrap().state else {
        panic!("it was not revived");
    };
    assert!(matches!(
        seen,
        Presented {
            times: 1,
            is_lost: true,
            ..
        }
    ));
    let last = Presentation::Last { seen: Some(seen) };
    let last = granted(begin(last).await.unwrap());
    assert_eq!(last.times, 2);
    connections.lose_refresh(&last).await.unwrap();
    connections.disconnect(id, 1, lost).await.unwrap();
    assert_eq!(connections.retry(1).await, Ok(Retried::Exhausted));
    let state = connections.load(id).await.unwrap().state;
    assert_eq!(state, ConnectionState::Disconnected { why: lost });
}

#[tokio::test]
async fn a_token_that_is_known_to_be_used_is_never_tried_again() {
    let (db, _, connections) = setup().await;
    let shop = db.database().runs().ensure_merchant(&shop_info(1)).await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    connections.bind(id, shop.unwrap(), None).await.unwrap();
    let former = "CREATE TABLE public.former AS SELECT * FROM salla_sync.connections";
    sqlx::query(former).execute(db.pool()).await.unwrap();
    let begun = connections.begin_refresh(id, 1, at(0), Presentation::Needed);
    let intent = granted(begun.await.unwrap());
    let pair = tokens("a2", Some("r2"));
    connections.complete_refresh(&intent, &pair).await.unwrap();

    // An old copy of the row was restored, and the shop was disconnected because of that.
    let back = "UPDATE salla_sync.connections c
        SET access_token = f.access_token, refresh_token = f.refresh_token,
            version = f.version FROM public.former f WHERE c.id = f.id";
    sqlx::query(back).execute(db.pool()).await.unwrap();
    let lost = Disconnection::RefreshLost;
    connections.disconnect(id, 1, lost).await.unwrap();
    assert_eq!(connections.retry(1).await, Ok(Retried::Spent));
}

#[tokio::test]
async fn nothing_else_that_ended_a_connection_is_tried_again() {
    let (db, _, connections) = setup().await;
    let shop = db.database().runs().ensure_merchant(&shop_info(1)).await;
    let Connection { id, .. } = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    connections.bind(id, shop.unwrap(), None).await.unwrap();
    for why in [
        Disconnection::RefreshRefused,
        Disconnection::TokenRejected,
        Disconnection::ScopeMissing,
    ] {
        connections.disconnect(id, 1, why).await.unwrap();
        assert_eq!(connections.retry(1).await, Ok(Retried::Refused(why)));
    }
}
