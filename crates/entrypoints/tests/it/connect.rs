//! Shops are connected: with what, until when, and after which wait.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use entrypoints::wiring;
use importer::ports::clock::Clock;
use importer::testing::clock::DrivenClock;
use jiff::Timestamp;
use ring::hmac;
use salla_simulator::ShopSpec;

use crate::process::{program, run};
use crate::service::TestService;
use crate::truth::small;

const SECRET: &str = "a secret of the test";
const END: i64 = 4_102_444_800;

/// Files that a developer's app has saved.
struct Saved {
    service: TestService,
    folder: tempfile::TempDir,
}

impl Saved {
    async fn open() -> Self {
        Self {
            service: TestService::start(small(10)).await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The body of the webhook that brings this shop's tokens.
    fn body(&self, merchant: i64) -> String {
        let simulator = &self.service.simulator;
        format!(
            r#"{{"event":"app.store.authorize","merchant":{merchant},
                "created_at":"2026-01-02 03:04:05","data":{{"access_token":"{}",
                "refresh_token":"{}","expires":{END},"scope":"orders.read offline_access"}}}}"#,
            simulator.access_token(),
            simulator.refresh_token()
        )
    }

    async fn connect(&self, body: &str, option: &str, more: &[&str], secret: &str) -> Output {
        let path = self.folder.path().join("body");
        std::fs::write(&path, body).unwrap();
        let arguments = [&["connect", option, path.to_str().unwrap()], more].concat();
        let mut command = program(&self.service, &arguments);
        command.env("SALLA_WEBHOOK_SECRET", secret);
        run(command).await
    }

    async fn webhook(&self, body: &str, more: &[&str], secret: &str) -> Output {
        self.connect(body, "--from-webhook", more, secret).await
    }

    /// Salla's id of each connected shop, and when its token ends.
    async fn connected(&self) -> Vec<(i64, Option<i64>)> {
        let sql = "SELECT m.salla_id, extract(epoch FROM c.expires_at)::bigint
            FROM salla_sync.merchants m
            LEFT JOIN salla_sync.connections c ON c.merchant_id = m.id AND c.is_current";
        sqlx::query_as(sql)
            .fetch_all(self.service.open.database.pool())
            .await
            .unwrap()
    }
}

fn signature(body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hex::encode(hmac::sign(&key, body.as_bytes()))
}

/// What the program said, which shows no token in any case.
fn said(saved: &Saved, output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8(all).unwrap();
    let simulator = &saved.service.simulator;
    for secret in [simulator.access_token(), simulator.refresh_token(), SECRET] {
        assert!(!said.contains(secret), "{said}");
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_the_webhook_connects_the_shop_that_it_names() {
    let saved = Saved::open().await;
    let merchant = saved.service.simulator.merchant_id();
    let body = saved.body(merchant);
    let signature = signature(&body);
    let output = saved
        .webhook(&body, &["--signature", &signature], SECRET)
        .await;
    let text = said(&saved, &output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains("was not checked"), "{text}");
    assert_eq!(saved.connected().await, [(merchant, Some(END))]);

    // Again and without a signature: refused where it could be checked, unless that is what
    // was asked for.
    let output = saved.webhook(&body, &[], SECRET).await;
    let text = said(&saved, &output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--unsigned"), "{text}");
    let output = saved.webhook(&body, &["--unsigned"], SECRET).await;
    let text = said(&saved, &output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("was not checked"), "{text}");
    let output = saved.webhook(&body, &[], "").await;
    let text = said(&saved, &output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("was not checked"), "{text}");
    assert_eq!(saved.connected().await, [(merchant, Some(END))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_not_sallas_or_not_the_shops_connects_nothing() {
    let saved = Saved::open().await;
    let merchant = saved.service.simulator.merchant_id();
    let body = saved.body(merchant);
    let signature = signature(&body);
    let signed = ["--signature", &signature];
    let of_another = saved.body(merchant + 1);
    let uninstalled = format!(r#"{{"event":"app.uninstalled","merchant":{merchant},"data":{{}}}}"#);
    let changed = format!("{body}\n");
    let table: &[(&str, &[&str], &str, &str)] = &[
        (&changed, &signed, SECRET, "its signature does not fit"),
        (&body, &signed, "another", "its signature does not fit"),
        (
            &body,
            &["--signature", "ü"],
            SECRET,
            "its signature does not fit",
        ),
        (&body, &signed, "", "SALLA_WEBHOOK_SECRET"),
        (
            &uninstalled,
            &[],
            "",
            "another event than app.store.authorize",
        ),
        ("secret", &[], "", "its body cannot be read: it is not JSON"),
        (&of_another, &[], "", "names the shop"),
    ];
    for (body, more, secret, why) in table {
        let output = saved.webhook(body, more, secret).await;
        let text = said(&saved, &output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(why), "{why} is missing from: {text}");
        assert_eq!(saved.connected().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_token_is_stored_where_it_is_known() {
    let saved = Saved::open().await;
    let merchant = saved.service.simulator.merchant_id();
    let access = saved.service.simulator.access_token();
    let output = saved.connect(access, "--tokens", &[], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&saved, &output));
    assert_eq!(saved.connected().await, [(merchant, None)]);

    // Seconds count from when the response was saved.
    let answer = format!(r#"{{"access_token":"{access}","expires_in":1209599}}"#);
    let output = saved.connect(&answer, "--tokens", &[], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&saved, &output));
    let written = std::fs::metadata(saved.folder.path().join("body")).unwrap();
    let written = Timestamp::try_from(written.modified().unwrap()).unwrap();
    let [(_, Some(end))] = saved.connected().await[..] else {
        panic!("the end is not known");
    };
    assert!((end - written.as_second() - 1_209_599).abs() <= 1, "{end}");
}

/// A shop has been imported, and the last page of it landed just now.
async fn just_imported() -> (TestService, Arc<DrivenClock>) {
    let service = TestService::start(small(10)).await;
    service.import().await;
    let clock = Arc::new(DrivenClock::new(service.clock.now()));
    let sql = "UPDATE salla_sync.merchant_sync_status SET updated_at = $1::text::timestamptz";
    sqlx::query(sql)
        .bind(clock.now().to_string())
        .execute(service.open.database.pool())
        .await
        .unwrap();
    (service, clock)
}

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_does_not_wait_for_the_last_request_of_another() {
    let (service, clock) = just_imported().await;
    let spec = ShopSpec {
        orders: 11,
        ..service.simulator.scenario().shop.clone()
    };
    let shop = service.simulator.add_shop(spec);
    let mut salla = service.salla();
    salla.tokens.access = shop.access_token().into();
    salla.tokens.refresh = Some(shop.refresh_token().into());
    // The clock stands still, so that a wait would have no end.
    let connecting = wiring::connect_and_store(&service.open, &salla, clock);
    let connected = tokio::time::timeout(PATIENCE, connecting).await;
    let connected = connected.expect("it does not wait").unwrap();
    assert_eq!(connected.shop.salla_id, shop.merchant_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_waits_a_second_after_its_own_last_request() {
    let (service, clock) = just_imported().await;
    let salla = service.salla();
    let mut connecting = std::pin::pin!(wiring::connect_and_store(
        &service.open,
        &salla,
        clock.clone()
    ));
    // A request would be answered within milliseconds.
    let moment = Duration::from_millis(500);
    let early = tokio::time::timeout(moment, connecting.as_mut()).await;
    assert!(early.is_err(), "it did not wait");
    clock.advance(Duration::from_secs(1));
    let connected = tokio::time::timeout(PATIENCE, connecting).await;
    connected.expect("it waits no longer").unwrap();
}
