//! Whom e-mails about a shop reach.

use database::testing::TestDatabase;
use database::{KeyCheck, Keyring, PostgresContacts};
use domain::contact::{EmailAddress, Language};
use domain::shop::MerchantId;
use importer::ports::contacts::{ContactChange, ContactSettings, Contacts};
use importer::ports::runs::Runs;

use crate::shop::shop_info;

async fn setup() -> (TestDatabase, Keyring, PostgresContacts, MerchantId) {
    let db = TestDatabase::create().await;
    let (keyring, _) = Keyring::generate().unwrap();
    let merchant = db.database().runs().ensure_merchant(&shop_info(1)).await;
    let contacts = db.database().contacts(keyring.clone());
    (db, keyring, contacts, merchant.unwrap())
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

fn to(text: &str) -> ContactChange {
    ContactChange {
        address: Some(Some(address(text))),
        ..ContactChange::default()
    }
}

async fn known(contacts: &PostgresContacts, merchant: MerchantId) -> (Option<String>, bool) {
    let settings = contacts.contact_of(merchant).await.unwrap();
    let address = settings.address.map(|address| address.as_str().to_owned());
    (address, settings.is_set)
}

#[tokio::test]
async fn what_somebody_has_decided_outlives_what_salla_names() {
    let (_db, _, contacts, merchant) = setup().await;
    let unset = contacts.contact_of(merchant).await.unwrap();
    assert_eq!(unset, ContactSettings::default());
    let named = |text: &'static str| (Some(text.to_owned()), false);
    for text in ["a@example.com", "b@example.com", "b@example.com"] {
        contacts.suggest(merchant, &address(text)).await.unwrap();
        assert_eq!(known(&contacts, merchant).await, named(text));
    }
    contacts
        .change(merchant, &to("c@example.com"))
        .await
        .unwrap();
    contacts
        .suggest(merchant, &address("d@example.com"))
        .await
        .unwrap();
    let set = (Some("c@example.com".to_owned()), true);
    assert_eq!(known(&contacts, merchant).await, set);

    let none = ContactChange {
        address: Some(None),
        ..ContactChange::default()
    };
    contacts.change(merchant, &none).await.unwrap();
    contacts
        .suggest(merchant, &address("d@example.com"))
        .await
        .unwrap();
    assert_eq!(known(&contacts, merchant).await, (None, true));
}

#[tokio::test]
async fn language_and_refusal_leave_the_address_where_it_is() {
    let (_db, _, contacts, merchant) = setup().await;
    contacts
        .suggest(merchant, &address("a@example.com"))
        .await
        .unwrap();
    let change = ContactChange {
        language: Some(Language::English),
        wants_email: Some(false),
        ..ContactChange::default()
    };
    let settings = contacts.change(merchant, &change).await.unwrap();
    assert_eq!(
        (settings.language, settings.wants_email),
        (Language::English, false)
    );
    assert_eq!(settings.clone().contact(), None);
    contacts
        .suggest(merchant, &address("b@example.com"))
        .await
        .unwrap();
    let settings = contacts.contact_of(merchant).await.unwrap();
    assert_eq!(settings.address, Some(address("b@example.com")));
    assert_eq!(
        (settings.language, settings.wants_email),
        (Language::English, false)
    );
}

#[tokio::test]
async fn an_address_is_encrypted_and_opens_in_its_own_row_and_version_only() {
    let (db, keyring, contacts, merchant) = setup().await;
    contacts
        .change(merchant, &to("person@example.com"))
        .await
        .unwrap();
    let row: String = sqlx::query_scalar("SELECT c::text FROM salla_sync.merchant_contacts c")
        .fetch_one(db.pool())
        .await
        .unwrap();
    let plain = "person@example.com"
        .bytes()
        .map(|byte| format!("{byte:02x}"));
    assert!(!row.contains("person") && !row.contains(&plain.collect::<String>()));

    // Another process without the key says so at its start.
    let (other, _) = Keyring::generate().unwrap();
    let check = db.database().connections(other).check_key().await;
    let refused = check.unwrap_err();
    assert!(matches!(refused, KeyCheck::Mismatch(_)), "{refused}");
    assert!(db.database().connections(keyring).check_key().await.is_ok());

    let other = db.database().runs().ensure_merchant(&shop_info(2)).await;
    let other = other.unwrap();
    sqlx::query("INSERT INTO salla_sync.merchant_contacts (merchant_id, email, key_id, version, updated_at) SELECT $1, email, key_id, version, updated_at FROM salla_sync.merchant_contacts")
        .bind(other.0)
        .execute(db.pool())
        .await
        .unwrap();
    assert!(
        contacts.contact_of(other).await.is_err(),
        "a row that was copied"
    );
    sqlx::query("UPDATE salla_sync.merchant_contacts SET version = version + 1")
        .execute(db.pool())
        .await
        .unwrap();
    let failure = contacts.contact_of(merchant).await.unwrap_err().to_string();
    assert!(
        failure.contains("address of a shop's merchant"),
        "{failure}"
    );
}
