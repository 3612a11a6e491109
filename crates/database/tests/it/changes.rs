//! Events about connections for the app's backend.

use std::collections::BTreeMap;

use database::testing::TestDatabase;
use domain::connection_change::{ConnectionChangeJob, ConnectionChangeKind, Tags};
use domain::failure::Disconnection;
use domain::shop::MerchantId;
use importer::ports::connections::{Connections, Presentation};
use importer::ports::merchants::Merchants as _;
use importer::ports::notifications::{ConnectionChange, Notifications as _};
use importer::ports::queue::{Queue as _, QueueName};
use importer::ports::runs::Runs;
use std::time::Duration;

use crate::connections::{setup, tokens};
use crate::make::at;
use crate::refresh::granted;
use crate::shop::shop_info;

use ConnectionChangeKind::{Broken, Created, Recovered, Replaced};

/// Those that were put on the queue now, as a worker reads them.
async fn told(db: &TestDatabase) -> Vec<ConnectionChange> {
    let store = db.database().notifications();
    store.send_connection_changes().await.unwrap();
    let queue = db.database().queue(QueueName::Notifications);
    let lease = Duration::from_secs(600);
    let mut changes = Vec::new();
    for delivery in queue.receive(100, lease, Duration::ZERO).await.unwrap() {
        let job = ConnectionChangeJob::parse(&delivery.body).unwrap().unwrap();
        let change = store.connection_change(&job).await.unwrap();
        changes.push(change.expect("what is on the queue is there"));
    }
    changes.sort_unstable_by_key(|change| change.id);
    changes
}

async fn kinds(db: &TestDatabase) -> Vec<ConnectionChangeKind> {
    let changes = told(db).await;
    changes.iter().map(|change| change.kind).collect()
}

async fn merchant(db: &TestDatabase) -> MerchantId {
    let merchant = db.database().runs().ensure_merchant(&shop_info(1)).await;
    merchant.unwrap()
}

fn tags(name: &str, value: &str) -> Tags {
    Tags::new(BTreeMap::from([(name.to_owned(), value.to_owned())])).unwrap()
}

#[tokio::test]
async fn each_change_is_told_once_with_the_tags_of_then() {
    let (db, _, connections) = setup().await;
    let shop = merchant(&db).await;
    let first = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    connections
        .tag(first.id, None, &tags("tenant", "42"))
        .await
        .unwrap();
    assert_eq!(told(&db).await, [], "nothing is a shop's yet");
    for _ in 0..2 {
        connections.bind(first.id, shop, None).await.unwrap();
    }
    let created = told(&db).await;
    assert_eq!(created.len(), 1);
    let change = &created[0];
    assert_eq!((change.kind, change.is_owned), (Created, Some(true)));
    assert_eq!(
        (change.shop.salla_id, &change.tags),
        (1, &tags("tenant", "42"))
    );
    assert_eq!(change.reason, None);

    // Newer tokens without tags keep those of the former ones.
    let second = connections.open(&tokens("a2", None)).await.unwrap();
    connections.bind(second.id, shop, None).await.unwrap();
    let replaced = told(&db).await;
    assert_eq!(replaced.len(), 1);
    assert_eq!(
        (replaced[0].kind, replaced[0].is_owned),
        (Replaced, Some(false))
    );
    assert_eq!(replaced[0].tags, tags("tenant", "42"));

    for _ in 0..2 {
        let why = Disconnection::TokenRejected;
        connections.disconnect(second.id, 1, why).await.unwrap();
    }
    let broken = told(&db).await;
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].reason.as_deref(), Some("token_rejected"));

    let third = connections.open(&tokens("a3", Some("r3"))).await.unwrap();
    connections.bind(third.id, shop, None).await.unwrap();
    assert_eq!(kinds(&db).await, [Recovered]);
    // Changes of a former connection are not sent.
    let why = Disconnection::TokenRejected;
    connections.disconnect(first.id, 1, why).await.unwrap();
    assert_eq!(kinds(&db).await, []);
}

#[tokio::test]
async fn a_pair_that_comes_late_and_a_removed_app_are_told() {
    let (db, _, connections) = setup().await;
    let shop = merchant(&db).await;
    let opened = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    connections.bind(opened.id, shop, None).await.unwrap();
    let begun = connections.begin_refresh(opened.id, 1, at(0), Presentation::Needed);
    let intent = granted(begun.await.unwrap());
    let why = Disconnection::RefreshLost;
    connections.disconnect(opened.id, 1, why).await.unwrap();
    let pair = tokens("a2", Some("r2"));
    connections.complete_refresh(&intent, &pair).await.unwrap();
    connections.complete_refresh(&intent, &pair).await.unwrap();
    assert_eq!(kinds(&db).await, [Created, Broken, Recovered]);

    let merchants = db.database().merchants();
    for _ in 0..2 {
        merchants.uninstall(1, None).await.unwrap();
    }
    let broken = told(&db).await;
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].reason.as_deref(), Some("uninstalled"));
    assert_eq!(broken[0].is_owned, None, "nothing is left to be owned");
}

#[tokio::test]
async fn channels_that_have_taken_a_change_are_known_and_old_ones_are_no_news() {
    let (db, _, connections) = setup().await;
    let shop = merchant(&db).await;
    let opened = connections.open(&tokens("a1", None)).await.unwrap();
    connections.bind(opened.id, shop, None).await.unwrap();
    let store = db.database().notifications();
    let change = told(&db).await.remove(0);
    for _ in 0..2 {
        store.mark_change_taken(change.id, "webhook").await.unwrap();
    }
    let job = ConnectionChangeJob {
        merchant: shop,
        change: change.id,
    };
    let read = store.connection_change(&job).await.unwrap().unwrap();
    assert_eq!(read.taken_by, ["webhook"]);
    let stranger = ConnectionChangeJob {
        merchant: MerchantId(uuid::Uuid::nil()),
        ..job
    };
    assert_eq!(store.connection_change(&stranger).await.unwrap(), None);

    connections
        .disconnect(opened.id, 1, Disconnection::TokenRejected)
        .await
        .unwrap();
    sqlx::query(
        "UPDATE salla_sync.connection_changes SET changed_at = changed_at - interval '8 days'",
    )
    .execute(db.pool())
    .await
    .unwrap();
    assert_eq!(store.send_connection_changes().await, Ok(0));
}

#[tokio::test]
async fn tokens_of_another_shop_keep_their_tags() {
    let (db, _, connections) = setup().await;
    let shop = merchant(&db).await;
    let opened = connections.open(&tokens("a1", None)).await.unwrap();
    connections.bind(opened.id, shop, None).await.unwrap();
    let ours = tags("tenant", "ours");
    connections.tag(opened.id, Some(1), &ours).await.unwrap();
    connections
        .tag(opened.id, Some(2), &tags("tenant", "theirs"))
        .await
        .unwrap();
    let details = db.database().connection_details(1).await.unwrap().unwrap();
    assert_eq!(details.tags, ours);
}
