//! The memory that answers take, which all shops of a process share.

use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::admission::{
    FetchPermit, MAX_BYTES, MAX_CUSTOMER_BYTES, MemoryLimit, MemoryPermit, Need, ResponseSize,
};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::platform::{PageRequest, Platform as _};
use jiff::Timestamp;
use salla_client::SallaClient;
use salla_client::admission::{Admission, Demand, RateLimiter};
use salla_client::pacing::{LatencyClass, PacerSettings};
use salla_client::retry::RetryPolicy;
use salla_client::tokens::TokenSource;
use secrecy::SecretString;
use tokio::task::JoinSet;

use crate::fake_salla::{FakeSalla, Reply, SingleRequests as _};

const LIST: &str = r#"{"status":200,"success":true,"data":[],
    "pagination":{"count":0,"total":0,"perPage":60,"currentPage":1,"totalPages":1}}"#;

/// Long beside the milliseconds that each of these requests takes, and only waited for
/// where one of them waits forever.
const FOR_EVER: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_request_that_waits_for_memory_holds_nothing_that_those_with_memory_need() {
    let salla = FakeSalla::start().await;
    salla.on("/orders/5", [Reply::Says(200, &[], order_of(9))]);
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
            client.page(&first).await
        }
    };

    // All but one place is taken.
    let mut others = Vec::new();
    while let Some(room) = memory.try_acquire(ResponseSize::Record) {
        others.push(room);
    }
    others.pop();
    let mut tasks = JoinSet::new();
    let mut permit = FetchPermit::default();
    let fetch = async {
        client.order_detail(5, &mut permit).await.unwrap();
        tasks.spawn(page);
        tokio::task::yield_now().await;
        client.order_detail(5, &mut permit).await.unwrap();
    };
    tokio::time::timeout(FOR_EVER, fetch).await.unwrap();

    assert!(salla.seen("/products").is_empty());
    let customers = PageRequest::first(Resource::Customers, None);
    let customers = tokio::time::timeout(FOR_EVER, client.page(&customers)).await;
    customers.unwrap().unwrap();
    drop(others);
    let page = tokio::time::timeout(FOR_EVER, tasks.join_next()).await;
    page.unwrap().unwrap().unwrap().unwrap();
}

/// A list whose one row is that long.
fn list_of(bytes: usize) -> String {
    let filling = "x".repeat(bytes);
    format!(
        r#"{{"status":200,"success":true,"data":[{{"id":1,"filling":"{filling}"}}],
        "pagination":{{"count":1,"total":1,"perPage":60,"currentPage":1,"totalPages":1}}}}"#
    )
}

fn order_of(bytes: usize) -> String {
    let filling = "x".repeat(bytes);
    format!(r#"{{"status":200,"success":true,"data":{{"id":5,"filling":"{filling}"}}}}"#)
}

fn all_that_is_left(memory: &MemoryLimit) -> Vec<MemoryPermit> {
    let pages = std::iter::from_fn(|| memory.try_acquire(ResponseSize::Page));
    let mut rooms: Vec<MemoryPermit> = pages.collect();
    rooms.extend(std::iter::from_fn(|| {
        memory.try_acquire(ResponseSize::Record)
    }));
    rooms
}

fn pages_left(memory: &MemoryLimit) -> usize {
    let rooms: Vec<MemoryPermit> =
        std::iter::from_fn(|| memory.try_acquire(ResponseSize::Page)).collect();
    rooms.len()
}

fn connect(salla: &FakeSalla) -> (Arc<SallaClient>, MemoryLimit) {
    let settings = salla.settings(TokenSource::Fixed(SecretString::from("first")));
    let memory = settings.memory.clone();
    (Arc::new(SallaClient::new(settings)), memory)
}

/// With memory for a usual page it is started and aborted; with enough memory it is requested
/// again.
#[tokio::test]
async fn a_response_that_outgrows_its_memory_is_requested_again_once_there_is_more() {
    let salla = FakeSalla::start().await;
    salla.on("/products", [Reply::Says(200, &[], list_of(3 << 20))]);
    salla.on("/customers", [Reply::Says(200, &[], list_of(1 << 20))]);
    let (client, memory) = connect(&salla);
    let mut others = all_that_is_left(&memory);
    // One page's worth.
    others.remove(0);
    let first = PageRequest::first(Resource::Products, None);
    let asking = {
        let client = client.clone();
        tokio::spawn(async move {
            let mut permit = FetchPermit::default();
            (client.list_page(&first, &mut permit).await, permit)
        })
    };
    let seen = async {
        while salla.seen("/products").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FOR_EVER, seen).await.unwrap();
    // A page of customers does not wait.
    let customers = PageRequest::first(Resource::Customers, None);
    let page = tokio::time::timeout(FOR_EVER, client.page(&customers)).await;
    assert_eq!(page.unwrap().unwrap().records.len(), 1);
    assert_eq!(salla.seen("/customers").len(), 2);
    assert!(!asking.is_finished());
    drop(others);
    let (page, room) = tokio::time::timeout(FOR_EVER, asking)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(page.unwrap().records.len(), 1);
    assert_eq!(salla.seen("/products").len(), 2);
    let left = pages_left(&memory);
    drop(room);
    assert!(left < pages_left(&memory), "it keeps what it weighs");
}

#[tokio::test]
async fn what_is_longer_than_any_answer_is_not_read_and_says_which_it_is() {
    let salla = FakeSalla::start().await;
    salla.on("/products", [Reply::Says(200, &[], list_of(MAX_BYTES))]);
    salla.on(
        "/customers",
        [Reply::Says(200, &[], list_of(MAX_CUSTOMER_BYTES))],
    );
    salla.on(
        "/categories",
        [Reply::Says(200, &[], "1,".repeat(MAX_BYTES / 2))],
    );
    let (client, memory) = connect(&salla);
    for (resource, mib) in [
        (Resource::Products, 8),
        (Resource::Customers, 2),
        // Short as a text, but not as values.
        (Resource::Categories, 8),
    ] {
        let request = PageRequest {
            per_page: 4,
            ..PageRequest::first(resource, None)
        };
        let failure = client.page(&request).await.unwrap_err();
        let what = format!(
            "listing {resource}, page 1 of 4 each: the response is longer than {mib} MiB, or has \
             more values than fit into memory (1 tries)"
        );
        assert_eq!(failure, Failure::TooLarge { message: what });
    }
    assert_eq!(
        all_that_is_left(&memory).len(),
        32,
        "nothing is kept of them"
    );
}

#[tokio::test]
async fn an_order_that_is_longer_than_any_response_is_rejected() {
    let salla = FakeSalla::start().await;
    salla.on("/orders/5", [Reply::Says(200, &[], order_of(MAX_BYTES))]);
    salla.on(
        "/orders/items",
        [Reply::Says(200, &[], order_of(MAX_BYTES))],
    );
    let (client, _) = connect(&salla);
    let detail = client.detail(5).await.unwrap().unwrap().record;
    let items = client.items(5).await.unwrap().unwrap().record;
    let rejections = [detail.outcome.unwrap_err(), items.outcome.unwrap_err()];
    for rejection in rejections {
        assert_eq!(rejection.code, RejectionCode::TooLarge);
        assert_eq!(rejection.salla_id, Some(5));
    }
}

/// A proxy between us and Salla sends a very long error page.
#[tokio::test]
async fn of_a_long_error_only_the_beginning_is_read() {
    let salla = FakeSalla::start().await;
    let long = "<html>".to_owned() + &"x".repeat(2 * MAX_BYTES);
    salla.on(
        "/products",
        [
            Reply::Says(502, &[], long),
            Reply::Says(200, &[], LIST.to_owned()),
        ],
    );
    let (client, memory) = connect(&salla);
    let first = PageRequest::first(Resource::Products, None);
    let mut permit = FetchPermit::default();
    client.list_page(&first, &mut permit).await.unwrap();
    assert_eq!(pages_left(&memory), 31, "what is read is kept");
    drop(permit);
    assert_eq!(pages_left(&memory), 32);
}

/// The memory is for shops whose budget is not spent.
#[tokio::test(start_paused = true)]
async fn no_request_keeps_its_memory_for_long_while_it_waits_for_a_budget() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(Timestamp::UNIX_EPOCH, 1.0));
    let limiter = |settings| {
        let rng = fastrand::Rng::with_seed(1);
        Arc::new(RateLimiter::new(settings, clock.clone(), rng))
    };
    let memory = MemoryLimit::default();
    let admission = Admission::new(
        clock.clone(),
        TokenSource::Fixed(SecretString::from("first")),
        limiter(PacerSettings {
            not_before: Some(Duration::from_secs(60)),
            ..PacerSettings::shop(None, 1.0)
        }),
        limiter(PacerSettings::customers()),
        1,
        memory.clone(),
    );
    let need = Need::usual(ResponseSize::Page, 0);
    let mut permit = memory.acquire(need).await;
    let demand = Demand {
        class: LatencyClass(0),
        customers: false,
        memory: need,
    };
    let waiting = tokio::spawn(async move {
        let admitted = admission.admit(demand, None, &mut permit).await;
        (admitted.unwrap(), permit)
    });
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(pages_left(&memory), 31, "the budget may have room soon");
    clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(pages_left(&memory), 32);
    assert!(!waiting.is_finished());
    let (_permit, _room) = waiting.await.unwrap();
    assert_eq!(clock.monotonic().as_secs(), 60);
    assert_eq!(pages_left(&memory), 31, "it has some again");
}

#[tokio::test]
async fn no_memory_is_held_while_a_retry_waits() {
    let salla = FakeSalla::start().await;
    salla.on("/products", [Reply::Says(200, &[], "{".to_owned())]);
    let mut settings = salla.settings(TokenSource::Fixed(SecretString::from("first")));
    let hours = Duration::from_secs(36_000);
    settings.retry = RetryPolicy {
        base: hours,
        cap: hours,
        total: hours * 10,
        ..RetryPolicy::default()
    };
    let memory = settings.memory.clone();
    let client = SallaClient::new(settings);
    let waiting = tokio::spawn(async move {
        let first = PageRequest::first(Resource::Products, None);
        client.page(&first).await
    });
    let released = async {
        while salla.seen("/products").is_empty() || pages_left(&memory) < 32 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FOR_EVER, released).await.unwrap();
    assert!(!waiting.is_finished());
    assert_eq!(salla.seen("/products").len(), 1);
}
