//! Merchants who connect their shops, and those who try to connect another's.

use salla_simulator::{Consent, Endpoint, Fault};

use super::served::{Browser, Served, one, until};
use crate::process::present_day;
use crate::service::TestService;
use crate::truth::small;

const CONNECTED: &str = "SELECT count(*) FROM salla_sync.connections
    WHERE is_current AND state = 'ACTIVE' AND merchant_id IS NOT NULL";
const RUNS: &str = "SELECT count(*) FROM salla_sync.sync_runs WHERE is_job";

async fn open() -> (TestService, Served) {
    let service = present_day(small(40)).await;
    service
        .simulator
        .set(|scenario| scenario.oauth.consent = Consent::Page);
    let served = Served::start(&service, &[]).await;
    (service, served)
}

fn exchanges(service: &TestService) -> u64 {
    let ledger = service.simulator.ledger();
    ledger
        .by_endpoint
        .get(&Endpoint::OauthToken)
        .copied()
        .unwrap_or_default()
}

/// What both languages say, without a code, a token or a word of the log.
fn assert_page(html: &str, english: &str) {
    assert!(html.contains(english), "{english} is missing from {html}");
    assert!(html.contains("<section lang=\"ar\" dir=\"rtl\">"), "{html}");
    assert!(!html.contains("ory_"), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_connects_a_shop_and_its_import_runs_to_its_end() {
    for in_data in [true, false] {
        let service = present_day(small(60)).await;
        service.simulator.set(|scenario| {
            scenario.oauth.consent = Consent::Page;
            scenario.oauth.user_info_in_data = in_data;
        });
        let served = Served::start(&service, &["--with-worker"]).await;
        let mut browser = Browser::new(&served);
        let salla = browser.begin().await;
        let state = salla.split("state=").nth(1).unwrap();
        assert!(!state.contains('-'), "{salla}");
        let page = served.http.get(&salla).send().await.unwrap();
        let page = page.text().await.unwrap();
        assert!(
            page.contains("id=\"approve\"") && page.contains("id=\"deny\""),
            "{page}"
        );

        let back = browser.decide(&salla, "approve").await;
        let (status, html) = browser.come_back(&back).await;
        assert_eq!(status, 200, "{html}");
        assert_page(&html, "Your shop is connected");
        assert!(html.contains("Its import has started"), "{html}");
        assert_eq!(one::<i64>(&service, CONNECTED).await, 1);
        let salla_id = "SELECT salla_id FROM salla_sync.merchants";
        assert_eq!(
            one::<i64>(&service, salla_id).await,
            service.simulator.merchant_id()
        );
        let state = "SELECT state FROM salla_sync.sync_runs WHERE is_job";
        until(&service, state, "COMPLETED".to_owned()).await;

        // The same shop once more: its tokens are replaced, its import stays.
        let (status, html) = browser.connect().await;
        assert_eq!(status, 200);
        assert_page(&html, "Your shop was connected already");
        assert_eq!(one::<i64>(&service, RUNS).await, 1);
        assert_eq!(one::<i64>(&service, CONNECTED).await, 1);

        let code = back.split(['=', '&']).nth(1).unwrap().to_owned();
        let (exit, said) = served.stop().await;
        assert_eq!(exit, Some(0), "{said}");
        for secret in [code.as_str(), "ory_", service.simulator.client_secret()] {
            assert!(!said.contains(secret), "{secret} was logged: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_connect_says_why_and_redeems_nothing() {
    let (service, served) = open().await;
    let mut browser = Browser::new(&served);
    let salla = browser.begin().await;

    let back = browser.decide(&salla, "deny").await;
    let (status, html) = browser.come_back(&back).await;
    assert_eq!(status, 200);
    assert_page(&html, "Your shop was not connected");

    // An install that began at Salla: whatever it has for a state, its code is left alone.
    let genuine = browser.decide(&salla, "approve").await;
    let code = genuine.split(['=', '&']).nth(1).unwrap();
    for state in [
        "",
        "&state=",
        "&state=12345678",
        "&state=0b5e4a1c9d3f4e8ab1",
        "&state=متجر🌴",
    ] {
        let (status, html) = browser
            .come_back(&format!("/oauth/callback?code={code}{state}"))
            .await;
        assert_eq!(status, 200, "{state}");
        assert_page(&html, "One more step to connect your shop");
        assert!(html.contains("href=\"/connect\""), "{html}");
    }

    // One letter of a state is changed, or another browser brings it.
    let at = genuine.find("state=").unwrap() + "state=".len();
    let mut forged = genuine.clone();
    let other = if forged[at..].starts_with('0') {
        "1"
    } else {
        "0"
    };
    forged.replace_range(at..=at, other);
    let mut stranger = Browser::new(&served);
    let without_cookie = stranger.come_back(&genuine).await;
    stranger.begin().await;
    for (status, html) in [
        browser.come_back(&forged).await,
        without_cookie,
        stranger.come_back(&genuine).await,
    ] {
        assert_eq!(status, 403);
        assert_page(&html, "This request could not be verified");
    }
    for path in [
        "/oauth/callback?code=%ff%fe",
        "/oauth/callback?code=a&code=b",
    ] {
        let (status, html) = browser.come_back(path).await;
        assert!(matches!(status, 200 | 400), "{path}: {status}");
        assert!(html.contains("<html"), "{html}");
    }
    assert_eq!(exchanges(&service), 0);
    assert_eq!(one::<i64>(&service, CONNECTED).await, 0);
    for reason in ["forged", "other_browser"] {
        served.until_said(&format!("reason=\"{reason}\"")).await;
    }

    // All of that has used up nothing.
    let (status, html) = browser.come_back(&genuine).await;
    assert_eq!(status, 200);
    assert_page(&html, "Your shop is connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_counts_once_however_often_it_comes_back() {
    let (service, served) = open().await;
    let mut browser = Browser::new(&served);
    let salla = browser.begin().await;
    let back = browser.decide(&salla, "approve").await;
    let other_code = browser.decide(&salla, "approve").await;
    let twice = (0..8).map(|_| browser.come_back(&back));
    for (status, html) in futures::future::join_all(twice).await {
        assert_eq!(status, 200);
        assert_page(&html, "Your shop is connected");
    }
    let (status, html) = browser.come_back(&back).await;
    assert_eq!(status, 200);
    assert_page(&html, "Your shop is connected");
    assert_eq!(exchanges(&service), 1);
    assert_eq!(one::<i64>(&service, RUNS).await, 1);

    let (status, html) = browser.come_back(&other_code).await;
    assert_eq!(status, 403);
    assert_page(&html, "This request could not be verified");
    served.until_said("reason=\"replayed\"").await;
    assert_eq!(exchanges(&service), 1);
}

/// Each tab has a separate state.
#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_of_one_browser_may_both_come_back() {
    let (_service, served) = open().await;
    let mut browser = Browser::new(&served);
    let first = browser.begin().await;
    let second = browser.begin().await;
    let back = browser.decide(&first, "approve").await;
    assert_page(&browser.come_back(&back).await.1, "Your shop is connected");
    let back = browser.decide(&second, "approve").await;
    assert_page(
        &browser.come_back(&back).await.1,
        "Your shop was connected already",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_fails_says_what_the_merchant_can_do() {
    let (service, served) = open().await;
    let mut browser = Browser::new(&served);
    let table = [
        (Some(Fault::Status(503)), 502, "Salla did not respond"),
        (Some(Fault::LostAnswer), 502, "Salla did not respond"),
        (Some(Fault::Html), 502, "Salla did not respond"),
        (None, 400, "Salla did not accept the consent code"),
    ];
    for (fault, expected, words) in table {
        let salla = browser.begin().await;
        let mut back = browser.decide(&salla, "approve").await;
        match fault {
            Some(fault) => service.simulator.queue_fault(Endpoint::OauthToken, fault),
            None => back = back.replacen("code=ory_ac_", "code=ory_ac_0", 1),
        }
        let before = exchanges(&service);
        let (status, html) = browser.come_back(&back).await;
        assert_eq!(status, expected, "{fault:?}: {html}");
        assert_page(&html, words);
        assert_eq!(exchanges(&service) - before, 1, "a code is presented once");
        // The same page again shows the same and requests nothing.
        let again = browser.come_back(&back).await;
        assert_eq!(again.0, expected);
        assert_page(&again.1, words);
        assert_eq!(exchanges(&service) - before, 1);
    }
    assert_eq!(one::<i64>(&service, CONNECTED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_that_do_not_fit_are_refused_before_any_token_is_stored() {
    let (service, served) = open().await;
    for scopes in [
        &["orders.read", "offline_access"][..],
        &[
            "orders.read_write",
            "customers.read",
            "products.read",
            "categories.read",
            "offline_access",
        ],
    ] {
        service.simulator.set(|scenario| {
            scenario.oauth.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        });
        let (status, html) = Browser::new(&served).connect().await;
        assert_eq!(status, 403);
        assert_page(&html, "permissions are not right");
    }
    assert_eq!(
        one::<i64>(&service, "SELECT count(*) FROM salla_sync.connections").await,
        0
    );
    for part in ["scopes_refused", "customers.read", "orders.read_write"] {
        served.until_said(part).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_public_address_no_shop_is_connected_by_consent() {
    let service = present_day(small(1)).await;
    let settings = [
        ("SALLA_SYNC_PUBLIC_URL", ""),
        ("SALLA_WEBHOOK_SECRET", ""),
        ("SALLA_WEBHOOK_SECRET_PREVIOUS", ""),
    ];
    let served = Served::start_with(&service, &[], &settings).await;
    for path in ["/connect", "/oauth/callback?code=a&state=b"] {
        let (status, html) = served.get(path).await;
        assert_eq!(status, 404);
        assert_page(&html, "Shops are not connected here");
    }
    let response = served
        .http
        .post(served.url("/webhooks/salla"))
        .body("{}")
        .send()
        .await;
    assert_eq!(response.unwrap().status().as_u16(), 503);
}

/// The code is spent: the tokens that it brought must not be.
#[tokio::test(flavor = "multi_thread")]
async fn a_consent_during_an_outage_connects_its_shop_once_salla_is_back() {
    let (service, served) = open().await;
    let outage = salla_simulator::OutageLength::Requests(1_000_000);
    service.simulator.begin_outage(Fault::Status(503), outage);
    let mut browser = Browser::new(&served);
    let salla = browser.begin().await;
    let back = browser.decide(&salla, "approve").await;
    let (status, html) = browser.come_back(&back).await;
    // The request is tried again for a while, for which the browser does not wait; which of the
    // two ends first depends on the machine.
    assert_eq!(status, 200, "{html}");
    let titles = ["Your shop is being connected", "Your consent has arrived"];
    let title = titles.into_iter().find(|title| html.contains(title));
    assert_page(&html, title.unwrap_or(titles[0]));
    let stored = "SELECT count(*) FROM salla_sync.arrivals WHERE settled_at IS NULL";
    assert_eq!(one::<i64>(&service, stored).await, 1);
    assert_eq!(one::<i64>(&service, CONNECTED).await, 0);
    service.simulator.set(|scenario| scenario.outages.clear());
    until(&service, CONNECTED, 1_i64).await;
    until(&service, RUNS, 1_i64).await;
    assert_eq!(exchanges(&service), 1);
}
