//! Tokens at rest.

use database::testing::TestDatabase;
use database::{KeyCheck, KeyMismatch, Keyring, PostgresConnections};
use domain::failure::{Disconnection, Failure};
use importer::ports::connections::{
    BeginRefresh, Bound, Connection, ConnectionState, Connections, Presentation, Tokens,
};
use importer::ports::runs::Runs;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::make::at;
use crate::shop::shop_info;

pub(crate) fn tokens(access: &str, refresh: Option<&str>) -> Tokens {
    Tokens {
        access: SecretString::from(access),
        refresh: refresh.map(SecretString::from),
        expires_at: Some(at(1_209_600)),
        scope: Some("orders.read offline_access".to_owned()),
    }
}

pub(crate) fn access(connection: &Connection) -> &str {
    connection.tokens.access.expose_secret()
}

pub(crate) async fn setup() -> (TestDatabase, Keyring, PostgresConnections) {
    let db = TestDatabase::create().await;
    let (keyring, _) = Keyring::generate().unwrap();
    let connections = db.database().connections(keyring.clone());
    (db, keyring, connections)
}

#[tokio::test]
async fn the_same_tokens_open_the_same_connection_even_after_a_refresh() {
    let (_db, _, connections) = setup().await;
    let given = tokens("a1", Some("r1"));
    let (first, second) = tokio::join!(connections.open(&given), connections.open(&given));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.id, second.id);
    assert_eq!(
        (access(&first), first.version, first.state),
        ("a1", 1, ConnectionState::Active)
    );
    assert_eq!(first.tokens.expires_at, given.expires_at);
    assert_eq!(first.tokens.scope, given.scope);

    let begun = connections
        .begin_refresh(first.id, 1, at(0), Presentation::Needed)
        .await
        .unwrap();
    let importer::ports::connections::BeginRefresh::Granted(intent) = begun else {
        panic!("{begun:?}");
    };
    connections
        .complete_refresh(&intent, &tokens("a2", Some("r2")))
        .await
        .unwrap();
    let again = connections.open(&given).await.unwrap();
    assert_eq!(
        (again.id, access(&again), again.version),
        (first.id, "a2", 2)
    );

    let other = connections.open(&tokens("a1", None)).await.unwrap();
    assert_ne!(other.id, first.id);
    assert!(other.tokens.refresh.is_none());
}

#[tokio::test]
async fn an_end_that_becomes_known_is_kept_while_the_tokens_are_the_same() {
    let (_db, _, connections) = setup().await;
    let with_end = |expires_at| Tokens {
        expires_at,
        ..tokens("a1", Some("r1"))
    };
    let (early, late) = (Some(at(100)), Some(at(200)));
    for (given, kept) in [(None, None), (late, late), (None, late), (early, late)] {
        let opened = connections.open(&with_end(given)).await.unwrap();
        assert_eq!((opened.tokens.expires_at, opened.version), (kept, 1));
    }

    let unknown = tokens("b1", Some("s1"));
    let unknown = |expires_at| Tokens {
        expires_at,
        ..unknown.clone()
    };
    let id = connections.open(&unknown(None)).await.unwrap().id;
    let begun = connections
        .begin_refresh(id, 1, at(0), Presentation::Needed)
        .await
        .unwrap();
    let importer::ports::connections::BeginRefresh::Granted(intent) = begun else {
        panic!("{begun:?}");
    };
    let renewed = Tokens {
        expires_at: None,
        ..tokens("b2", Some("s2"))
    };
    connections
        .complete_refresh(&intent, &renewed)
        .await
        .unwrap();
    let opened = connections.open(&unknown(early)).await.unwrap();
    assert_eq!(opened.tokens.expires_at, None, "it is that of the old pair");
}

#[tokio::test]
async fn a_merchant_has_one_current_connection() {
    let (db, _, connections) = setup().await;
    let runs = db.database().runs();
    let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
    let stranger = runs.ensure_merchant(&shop_info(2)).await.unwrap();
    assert!(connections.of_merchant(merchant).await.unwrap().is_none());
    let old = connections.open(&tokens("old", None)).await.unwrap();
    let new = connections.open(&tokens("new", None)).await.unwrap();
    assert_eq!(old.merchant, None);
    connections.bind(old.id, merchant, None).await.unwrap();
    connections.bind(new.id, merchant, None).await.unwrap();
    connections.bind(new.id, merchant, None).await.unwrap();
    let current = connections.of_merchant(merchant).await.unwrap().unwrap();
    assert_eq!((current.id, current.merchant), (new.id, Some(merchant)));
    assert!(connections.of_merchant(stranger).await.unwrap().is_none());
    let (a, b) = tokio::join!(
        connections.bind(old.id, merchant, None),
        connections.bind(new.id, merchant, None)
    );
    assert_eq!((a, b), (Ok(Bound::Older), Ok(Bound::Current)));
    let current: i64 =
        sqlx::query_scalar("SELECT count(*) FROM salla_sync.connections WHERE is_current")
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!(current, 1);
}

#[tokio::test]
async fn nothing_readable_is_stored_or_shown() {
    let (db, keyring, connections) = setup().await;
    let connection = connections
        .open(&tokens("secret-access", Some("secret-refresh")))
        .await
        .unwrap();
    let stored: String = sqlx::query_scalar(
        "SELECT c::text || encode(c.access_token, 'escape') || encode(c.refresh_token, 'escape') FROM salla_sync.connections c",
    )
    .fetch_one(db.pool())
    .await
    .unwrap();
    let shown = format!("{connection:?} {keyring:?} {connections:?}");
    for text in [stored, shown] {
        assert!(!text.contains("secret-access") && !text.contains("secret-refresh"));
    }
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_refused_at_the_start() {
    let (db, keyring, connections) = setup().await;
    connections.check_key().await.unwrap();
    let connection = connections.open(&tokens("a", None)).await.unwrap();
    connections.check_key().await.unwrap();

    let (other, other_text) = Keyring::generate().unwrap();
    let with_other = db.database().connections(other);
    let refused = with_other.check_key().await.unwrap_err();
    let key_id = keyring.current_id().to_owned();
    assert!(
        matches!(&refused, KeyCheck::Mismatch(KeyMismatch::Missing { key_id: id }) if *id == key_id)
    );
    assert!(refused.to_string().contains(&key_id), "{refused}");
    let unreadable = with_other.load(connection.id).await.unwrap_err();
    assert_eq!(unreadable.code(), "database");

    let (_, encoded) = other_text.expose_secret().split_once(':').unwrap();
    let same_name = SecretString::from(format!("{key_id}:{encoded}"));
    let wrong = db
        .database()
        .connections(Keyring::parse(&same_name).unwrap());
    let refused = wrong.check_key().await.unwrap_err();
    assert!(matches!(
        refused,
        KeyCheck::Mismatch(KeyMismatch::Wrong { .. })
    ));

    connections
        .disconnect(connection.id, 1, Disconnection::TokenRejected)
        .await
        .unwrap();
    with_other.check_key().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_does_not_exist_is_an_error() {
    let (_db, _, connections) = setup().await;
    let id = importer::ports::connections::ConnectionId(uuid_of(Timestamp::UNIX_EPOCH));
    assert_eq!(
        connections.load(id).await.unwrap_err().code(),
        "not_connected"
    );
}

fn uuid_of(at: Timestamp) -> uuid::Uuid {
    uuid::Uuid::from_u128(at.as_second().unsigned_abs().into())
}

const MARK_ALL: &str = "UPDATE salla_sync.connections SET is_current = $1";

/// A wrong UPDATE, two databases that were merged, an attacker with write access.
#[tokio::test]
async fn tokens_of_another_shop_are_parked_and_nothing_else() {
    let (db, _, connections) = setup().await;
    let runs = db.database().runs();
    let mut ids = Vec::new();
    for (number, name) in [(1, "one"), (2, "two"), (3, "three")] {
        let merchant = runs.ensure_merchant(&shop_info(number)).await.unwrap();
        let opened = connections.open(&tokens(name, Some(name))).await.unwrap();
        connections.bind(opened.id, merchant, None).await.unwrap();
        ids.push((merchant, opened.id));
    }
    let bound = connections.of_merchant(ids[0].0).await.unwrap().unwrap();
    assert_eq!(bound.salla_id, Some(shop_info(1).salla_id));
    let swap = "
        UPDATE salla_sync.connections c SET merchant_id = o.merchant_id
        FROM salla_sync.connections o WHERE (c.id, o.id) IN (($1, $2), ($2, $1))";
    for (sql, is_current) in [(MARK_ALL, false), (swap, false), (MARK_ALL, true)] {
        let query = sqlx::query(sql);
        let query = match sql {
            MARK_ALL => query.bind(is_current),
            _ => query.bind(ids[0].1.0).bind(ids[1].1.0),
        };
        query.execute(db.pool()).await.unwrap();
    }
    let other = Failure::Disconnected(Disconnection::OtherShop);
    assert_eq!(
        connections.of_merchant(ids[0].0).await.err(),
        Some(other.clone())
    );
    let begun = connections.begin_refresh(ids[0].1, 1, at(0), Presentation::Needed);
    assert_eq!(begun.await.err(), Some(other.clone()));
    connections.of_merchant(ids[2].0).await.unwrap().unwrap();
    let parked: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT disconnected_why FROM salla_sync.connections ORDER BY created_at, id",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    let code = Some("other_shop".to_owned());
    assert_eq!(parked, [code.clone(), code, None]);

    // Nor does a connection change its shop by being bound.
    let refused = connections.bind(ids[2].1, ids[0].0, None).await;
    assert_eq!(refused.err(), Some(other));

    // The one that changes the number as well does not get the tokens opened.
    let id = ids[0].1;
    sqlx::query(
        "UPDATE salla_sync.connections SET state = 'ACTIVE', disconnected_why = NULL,
             salla_id = (SELECT salla_id FROM salla_sync.merchants m WHERE m.id = merchant_id)
         WHERE id = $1",
    )
    .bind(id.0)
    .execute(db.pool())
    .await
    .unwrap();
    assert!(connections.load(id).await.is_err());
}

/// One flipped bit stops one shop, and not the program.
#[tokio::test]
async fn a_damaged_row_parks_one_shop() {
    let damages = [
        "UPDATE salla_sync.connections SET access_token =
             set_byte(access_token, 30, get_byte(access_token, 30) # 1) WHERE id = $1",
        "UPDATE salla_sync.connections SET refresh_token = substr(refresh_token, 1, 30)
             WHERE id = $1",
        "UPDATE salla_sync.connections SET access_token = refresh_token,
             refresh_token = access_token WHERE id = $1",
        "UPDATE salla_sync.connections SET version = version + 1 WHERE id = $1",
        "UPDATE salla_sync.connections SET access_token = '' WHERE id = $1",
        "UPDATE salla_sync.connections SET seal_format = 1 WHERE id = $1",
    ];
    for damage in damages {
        let (db, _, connections) = setup().await;
        let well = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
        let damaged = connections.open(&tokens("a2", Some("r2"))).await.unwrap();
        sqlx::query(damage)
            .bind(damaged.id.0)
            .execute(db.pool())
            .await
            .unwrap();
        connections.check_key().await.unwrap();
        let why = Disconnection::TokensDamaged;
        for _ in 0..2 {
            let failure = connections.load(damaged.id).await.err();
            assert_eq!(failure, Some(Failure::Disconnected(why)), "{damage}");
        }
        assert_eq!(access(&connections.load(well.id).await.unwrap()), "a1");
        let parked: Vec<uuid::Uuid> = sqlx::query_scalar(
            "SELECT id FROM salla_sync.connections WHERE disconnected_why = 'tokens_damaged'",
        )
        .fetch_all(db.pool())
        .await
        .unwrap();
        assert_eq!(parked, [damaged.id.0], "{damage}");
    }
}

/// With one stale variable in the environment, for example.
#[tokio::test]
async fn a_refresh_token_that_was_ever_stored_leads_to_its_connection() {
    let (db, _, connections) = setup().await;
    let first = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    let begun = connections.begin_refresh(first.id, 1, at(0), Presentation::Needed);
    let BeginRefresh::Granted(intent) = begun.await.unwrap() else {
        panic!("it is granted");
    };
    let second = tokens("a2", Some("r2"));
    connections
        .complete_refresh(&intent, &second)
        .await
        .unwrap();
    for given in [
        tokens("a9", Some("r1")),
        tokens("a9", Some("r2")),
        tokens("a2", Some("r2")),
        tokens("a2", Some("r1")),
    ] {
        let opened = connections.open(&given).await.unwrap();
        assert_eq!((opened.id, access(&opened)), (first.id, "a2"));
    }
    assert_ne!(
        connections.open(&tokens("a9", None)).await.unwrap().id,
        first.id
    );

    // Concurrently, with different access tokens.
    let (one, two) = (tokens("b1", Some("s")), tokens("b2", Some("s")));
    let (one, two) = tokio::join!(connections.open(&one), connections.open(&two));
    assert_eq!(one.unwrap().id, two.unwrap().id);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM salla_sync.connections")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(rows, 3);
}

/// A delivery that comes late, or again.
#[tokio::test]
async fn an_older_authorization_does_not_take_the_place_of_a_newer_one() {
    let (db, _, connections) = setup().await;
    let runs = db.database().runs();
    let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
    let bind = |id, authorized_at| connections.bind(id, merchant, authorized_at);
    let newer = connections
        .open(&tokens("newer", Some("r2")))
        .await
        .unwrap();
    bind(newer.id, Some(at(200))).await.unwrap();
    // Stored later, authorized earlier.
    let older = connections
        .open(&tokens("older", Some("r1")))
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(bind(older.id, Some(at(100))).await, Ok(Bound::Older));
    }
    assert_eq!(bind(newer.id, None).await, Ok(Bound::Current));
    let current = connections.of_merchant(merchant).await.unwrap().unwrap();
    assert_eq!(access(&current), "newer");
    assert_eq!(access(&connections.load(older.id).await.unwrap()), "newer");

    // By hand, later than both: it is unknown when Salla issued these.
    let by_hand = connections.open(&tokens("hand", Some("r3"))).await.unwrap();
    assert_eq!(bind(by_hand.id, None).await, Ok(Bound::Current));
    assert_eq!(bind(newer.id, Some(at(200))).await, Ok(Bound::Older));

    // What serves no longer makes room, whatever its age.
    let why = Disconnection::RefreshRefused;
    connections.disconnect(by_hand.id, 1, why).await.unwrap();
    assert_eq!(bind(older.id, Some(at(100))).await, Ok(Bound::Current));
    assert_eq!(bind(newer.id, Some(at(200))).await, Ok(Bound::Current));
}
