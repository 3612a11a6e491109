//! Spans and their collector: which ones arrive, what they contain, and that nothing waits for a
//! missing collector.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue must fail immediately"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use database::testing::TestDatabase;
use salla_simulator::{AppAge, Scenario, Simulator};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::Instant;

/// Everything that our spans may carry.
const FIELDS: [&str; 7] = [
    "attempt",
    "job_id",
    "merchant_id",
    "page",
    "resource",
    "run_id",
    "window",
];
const PASSWORD: &str = "of-the-collector";

/// What came to a collector, in the order in which it came.
type Posts = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn collector() -> (String, Posts) {
    let posts = Posts::default();
    let taken = posts.clone();
    let take = |headers: HeaderMap, body: Bytes| async move {
        taken.lock().unwrap().push((headers, body));
    };
    let router = Router::new().route("/v1/traces", post(take));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, posts)
}

/// A small shop of today, whose orders are completed by separate requests.
async fn shop() -> (Simulator, TestDatabase) {
    let mut scenario = Scenario::default().moved_to(salla_simulator::present());
    scenario.shop.orders = 150;
    scenario.shop.customers = 30;
    scenario.shop.products = 20;
    scenario.shop.plan = salla_simulator::Plan::Unlimited;
    scenario.app_age = AppAge::FullDetails;
    scenario.faults.status_500 = 0.05;
    let simulator = Simulator::start(scenario).await.unwrap();
    (simulator, TestDatabase::create().await)
}

/// An import that sends its spans to `collector`.
fn import(shop: &(Simulator, TestDatabase), collector: &str, log: &str) -> Command {
    let mut command = support::program(&shop.0, &shop.1.url(), &["--log", log, "import"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            format!("authorization=Bearer%20{PASSWORD}"),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.into()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The fields of a protobuf message by their numbers. Of those that are numbers
/// themselves the value is left out.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let length = match tag & 7 {
            0 => {
                varint(&mut message);
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = message.split_at(length);
        message = rest;
        fields.push((tag >> 3, value));
    }
    fields
}

/// All values of a field that may come more than once.
fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    let fields = fields(message).into_iter();
    fields.filter(|f| f.0 == number).map(|f| f.1).collect()
}

fn one(message: &[u8], number: u64) -> &[u8] {
    all(message, number).first().copied().unwrap_or_default()
}

fn text(message: &[u8], number: u64) -> String {
    String::from_utf8(one(message, number).to_vec()).unwrap()
}

/// `KeyValue`s whose values are texts.
fn attributes(message: &[u8], number: u64) -> BTreeMap<String, String> {
    let pairs = all(message, number).into_iter();
    pairs
        .map(|pair| (text(pair, 1), text(one(pair, 2), 1)))
        .collect()
}

/// A span of opentelemetry/proto/trace/v1/trace.proto.
struct Span {
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    name: String,
    fields: BTreeMap<String, String>,
    has_events_or_links: bool,
}

impl Span {
    fn read(message: &[u8]) -> Self {
        Self {
            trace: one(message, 1).to_vec(),
            id: one(message, 2).to_vec(),
            parent: one(message, 4).to_vec(),
            name: text(message, 5),
            fields: attributes(message, 9),
            has_events_or_links: [11, 13].iter().any(|n| !all(message, *n).is_empty()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_an_import_arrive_and_carry_ids_only() {
    let (url, posts) = collector().await;
    let shop = shop().await;
    let output = import(&shop, &url, "trace").output().await.unwrap();
    let log = said(&output);
    assert!(output.status.success(), "{log}");
    assert!(!log.contains(PASSWORD), "the password was logged");
    assert!(!log.contains("traces"), "{log}");

    let posts = std::mem::take(&mut *posts.lock().unwrap());
    let mut spans = Vec::new();
    for (headers, body) in &posts {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["authorization"], format!("Bearer {PASSWORD}"));
        for of_resource in all(body, 1) {
            let resource = attributes(one(of_resource, 1), 1);
            assert_eq!(resource["service.name"], "salla-sync");
            let scopes = all(of_resource, 2).into_iter();
            spans.extend(scopes.flat_map(|scope| all(scope, 2)).map(Span::read));
        }
    }

    let names: BTreeMap<&[u8], &str> = spans
        .iter()
        .map(|span| (&span.id[..], span.name.as_str()))
        .collect();
    let edges: BTreeSet<(&str, &str)> = spans
        .iter()
        .map(|span| {
            let parent = names.get(&span.parent[..]);
            (parent.copied().unwrap_or_default(), span.name.as_str())
        })
        .collect();
    for edge in [
        ("", "run"),
        ("run", "window"),
        ("window", "page"),
        ("page", "request"),
        ("run", "detail"),
        ("detail", "request"),
    ] {
        assert!(edges.contains(&edge), "{edge:?} is missing from {edges:?}");
    }
    let run = spans.iter().find(|span| span.name == "run").unwrap();
    assert!(run.fields.contains_key("run_id") && run.fields.contains_key("merchant_id"));
    for span in &spans {
        let unknown = span
            .fields
            .keys()
            .find(|name| !FIELDS.contains(&name.as_str()));
        assert_eq!(unknown, None, "of {}", span.name);
        assert!(!span.has_events_or_links, "{}", span.name);
        let is_of_the_run = span.name != "request" || !span.parent.is_empty();
        assert_eq!(span.trace == run.trace, is_of_the_run, "{}", span.name);
    }

    let simulator = &shop.0;
    let mut private = vec![
        "ory_at_".to_owned(),
        "ory_rt_".to_owned(),
        simulator.client_secret().to_owned(),
    ];
    for customer in simulator.shop().truth_customers() {
        private.extend([customer.email, customer.mobile.to_string()]);
        private.extend([customer.first_name, customer.last_name].map(str::to_owned));
    }
    for value in private {
        let is_sent = |body: &Bytes| {
            body.windows(value.len())
                .any(|part| part == value.as_bytes())
        };
        assert!(!posts.iter().any(|(_, body)| is_sent(body)), "{value}");
    }
}

/// One that refuses, and one that takes connections and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_costs_no_import_and_few_seconds() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addresses = [&silent, &closed].map(|listener| listener.local_addr().unwrap());
    drop(closed);
    for address in addresses {
        let mut all = Vec::new();
        // The machine may be busy with something else, but not each time.
        while all.len() < 3 && all.last().is_none_or(|took| *took >= FEW_SECONDS) {
            all.push(until_it_ends(&format!("http://{address}")).await);
        }
        assert!(all.last() < Some(&FEW_SECONDS), "{all:?}");
    }
}

const FEW_SECONDS: Duration = Duration::from_secs(6);

/// How long an import takes to end once all is done.
async fn until_it_ends(collector: &str) -> Duration {
    let shop = shop().await;
    let mut child = import(&shop, collector, "warn").spawn().unwrap();
    // The certificate is the last thing before the end.
    let mut results = child.stdout.take().unwrap();
    results.read_u8().await.unwrap();
    let certified = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(120), async {
        results.read_to_end(&mut Vec::new()).await.unwrap();
        child.wait_with_output().await.unwrap()
    });
    let output = ended.await.expect("it ends");
    let took = certified.elapsed();
    let log = said(&output);
    assert!(output.status.success(), "{log}");
    let complaints = log.lines().filter(|line| line.contains("not delivered"));
    assert!((1..=2).contains(&complaints.count()), "{log}");
    took
}
