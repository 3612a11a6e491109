//! The memory that answers take, which all shops of a process share.

use std::sync::Arc;
use std::time::Duration;

use domain::resource::Resource;
use importer::memory::{Size, fetching};
use importer::ports::platform::{PageRequest, Platform as _};
use salla_client::SallaClient;
use salla_client::tokens::TokenSource;
use secrecy::SecretString;
use tokio::task::JoinSet;

use crate::fake_salla::{FakeSalla, Reply, shop};

const LIST: &str = r#"{"status":200,"success":true,"data":[],
    "pagination":{"count":0,"total":0,"perPage":60,"currentPage":1,"totalPages":1}}"#;

/// Long beside the milliseconds that each of these requests takes, and only waited for
/// where one of them waits for ever.
const FOR_EVER: Duration = Duration::from_secs(20);

#[tokio::test]
async fn who_waits_for_room_holds_nothing_that_those_who_have_room_need() {
    let salla = FakeSalla::start().await;
    salla.on("/store/info", [shop()]);
    salla.on("/customers", [Reply::Says(200, &[], LIST.to_owned())]);
    salla.on("/products", [Reply::Says(200, &[], LIST.to_owned())]);
    let mut settings = salla.settings(TokenSource::Fixed(SecretString::from("first")));
    settings.concurrency = 1;
    let memory = settings.memory.clone();
    let client = Arc::new(SallaClient::new(settings));
    let page = {
        let client = client.clone();
        async move {
            let first = PageRequest::first(Resource::Products, None);
            client.list_page(&first).await
        }
    };

    // All but one place is taken.
    let mut others = Vec::new();
    while let Some(room) = memory.room_now(Size::Record) {
        others.push(room);
    }
    others.pop();
    let mut tasks = JoinSet::new();
    let fetch = fetching(async {
        client.shop_info().await.unwrap();
        tasks.spawn(page);
        tokio::task::yield_now().await;
        client.shop_info().await.unwrap();
    });
    let ((), _room) = tokio::time::timeout(FOR_EVER, fetch).await.unwrap();

    assert!(salla.seen("/products").is_empty());
    let customers = PageRequest::first(Resource::Customers, None);
    let customers = tokio::time::timeout(FOR_EVER, client.list_page(&customers)).await;
    customers.unwrap().unwrap();
    drop(others);
    let page = tokio::time::timeout(FOR_EVER, tasks.join_next()).await;
    page.unwrap().unwrap().unwrap().unwrap();
}
