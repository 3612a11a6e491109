//! From one key to the next.

use std::collections::BTreeMap;

use database::{KeyUse, Keyring, Rotated};
use domain::contact::EmailAddress;
use domain::failure::Disconnection;
use importer::ports::connections::{Connections, Presentation};
use importer::ports::contacts::{ContactChange, Contacts};
use importer::ports::runs::Runs;
use secrecy::{ExposeSecret as _, SecretString};

use database::testing::TestDatabase;

use crate::connections::{access, tokens};
use crate::make::at;
use crate::refresh::granted;
use crate::shop::shop_info;

/// A ring of the former key, one with a new key in front, and one of the new key alone.
fn rings() -> [Keyring; 3] {
    let (_, former) = Keyring::generate().unwrap();
    let (_, new) = Keyring::generate().unwrap();
    let both = format!("{},{}", new.expose_secret(), former.expose_secret());
    [former, SecretString::from(both), new].map(|text| Keyring::parse(&text).unwrap())
}

#[tokio::test]
async fn everything_is_sealed_again_while_others_work() {
    let db = TestDatabase::create().await;
    let [former, both, new] = rings();
    let connections = db.database().connections(former.clone());
    let mut ids = Vec::new();
    // More than one transaction takes.
    for number in 0..120 {
        let given = tokens(&format!("a{number}"), Some(&format!("r{number}")));
        ids.push(connections.open(&given).await.unwrap().id);
    }
    let shop = db
        .database()
        .runs()
        .ensure_merchant(&shop_info(1))
        .await
        .unwrap();
    connections.bind(ids[0], shop, None).await.unwrap();
    connections
        .disconnect(ids[1], 1, Disconnection::TokenRejected)
        .await
        .unwrap();
    let address = EmailAddress::parse("person@example.com");
    let change = ContactChange {
        address: Some(address.clone()),
        ..ContactChange::default()
    };
    db.database()
        .contacts(former.clone())
        .change(shop, &change)
        .await
        .unwrap();

    // A refresh is under way, of a process that has both keys and the former one in front.
    let begun = connections.begin_refresh(ids[2], 1, at(0), Presentation::Needed);
    let intent = granted(begun.await.unwrap());
    let rotating = db.database().connections(both.clone());
    let rotated = rotating.rotate().await.unwrap();
    assert_eq!(
        rotated,
        Rotated {
            connections: 120,
            contacts: 1,
            secrets: 0,
            unreadable: 0
        }
    );
    assert_eq!(
        rotating.rotate().await,
        Ok(Rotated::default()),
        "nothing is left"
    );
    let uses = db.database().key_uses().await.unwrap();
    let expected = KeyUse {
        serving: 119,
        ended: 1,
        contacts: 1,
        secrets: 0,
    };
    assert_eq!(
        uses,
        BTreeMap::from([(new.current_id().to_owned(), expected)])
    );

    let alone = db.database().connections(new.clone());
    assert!(alone.check_key().await.is_ok());
    let first = alone.load(ids[0]).await.unwrap();
    assert_eq!(
        (access(&first), first.version, first.salla_id),
        ("a0", 1, Some(1))
    );
    let stored = db.database().contacts(new).contact_of(shop).await.unwrap();
    assert_eq!(stored.address, address);
    let pair = tokens("b2", Some("s2"));
    let completed = rotating.complete_refresh(&intent, &pair).await.unwrap();
    assert_eq!((access(&completed), completed.version), ("b2", 2));
}

#[tokio::test]
async fn what_no_key_opens_stays_and_stops_nothing() {
    let db = TestDatabase::create().await;
    let [former, both, _] = rings();
    let connections = db.database().connections(former);
    let damaged = connections.open(&tokens("a1", None)).await.unwrap();
    let sound = connections.open(&tokens("a2", None)).await.unwrap();
    sqlx::query("UPDATE salla_sync.connections SET access_token = 'damaged' WHERE id = $1")
        .bind(damaged.id.0)
        .execute(db.pool())
        .await
        .unwrap();
    let rotating = db.database().connections(both);
    let rotated = rotating.rotate().await.unwrap();
    assert_eq!((rotated.connections, rotated.unreadable), (1, 1));
    assert_eq!(access(&rotating.load(sound.id).await.unwrap()), "a2");
    assert_eq!(rotating.rotate().await.unwrap().unreadable, 1);
}
