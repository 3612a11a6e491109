//! The accounts host: consent, exchange, refresh, and what ends a connection.

use crate::client::{Reply, get, get_with, post, send, try_post};
use http_body_util::Full;
use hyper::Request;
use salla_simulator::*;
use serde_json::json;
use std::time::Duration;

const FORM: &str = "application/x-www-form-urlencoded";

async fn start(change: impl FnOnce(&mut Scenario)) -> Simulator {
    let mut scenario = Scenario::default();
    scenario.clock.scale = 0.0;
    change(&mut scenario);
    Simulator::start(scenario).await.unwrap()
}

fn refresh_form(sim: &Simulator, token: &str) -> String {
    format!(
        "grant_type=refresh_token&refresh_token={token}&client_id={}&client_secret={}",
        sim.client_id(),
        sim.client_secret(),
    )
}

async fn refresh(sim: &Simulator, token: &str) -> Reply {
    post(sim, "/oauth2/token", FORM, &refresh_form(sim, token)).await
}

fn word(reply: &Reply, field: &str) -> String {
    reply.json()[field].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_whole_consent_flow_works() {
    let sim = start(|_| {}).await;
    let request = Request::get(format!(
        "/oauth2/auth?client_id={}&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%2Fcallback&scope=offline_access&state=12-34-ab",
        sim.client_id(),
    ))
    .header("host", "localhost")
    .body(Full::default())
    .unwrap();
    let redirect = send(&sim, request).await.unwrap();
    assert_eq!(redirect.status, 302);
    let location = redirect.header("location").unwrap();
    assert!(
        location.starts_with("http://localhost/callback?code=ory_ac_"),
        "{location}"
    );
    assert!(
        location.ends_with("&state=1234ab"),
        "hyphens are stripped: {location}"
    );
    let code = location.split(['=', '&']).nth(1).unwrap();
    let form = format!(
        "grant_type=authorization_code&code={code}&client_id={}&client_secret={}&redirect_uri=http://localhost/callback&scope=offline_access",
        sim.client_id(),
        sim.client_secret(),
    );
    let tokens = post(&sim, "/oauth2/token", FORM, &form).await;
    assert_eq!(tokens.status, 200);
    assert_eq!(tokens.json()["expires_in"], 1_209_599);
    let info = get_with(&sim, &word(&tokens, "access_token"), "/store/info")
        .await
        .unwrap();
    assert_eq!(info.status, 200);
    assert_eq!(post(&sim, "/oauth2/token", FORM, &form).await.status, 401);
}

#[tokio::test]
async fn a_merchant_may_be_asked_and_may_refuse() {
    let sim = start(|scenario| scenario.oauth.consent = Consent::Page).await;
    let path = format!(
        "/oauth2/auth?client_id={}&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%2Fcallback&state=ab",
        sim.client_id(),
    );
    let ask = async |decision: &str| {
        let request = Request::get(format!("{path}{decision}"))
            .header("host", "localhost")
            .body(Full::default())
            .unwrap();
        send(&sim, request).await.unwrap()
    };
    let page = ask("").await;
    assert_eq!(page.status, 200);
    for link in [
        "id=\"approve\"",
        "id=\"deny\"",
        "&amp;state=ab&amp;decision=deny",
    ] {
        assert!(page.text.contains(link), "{}", page.text);
    }
    let location = |reply: Reply| reply.header("location").unwrap().to_owned();
    let approved = location(ask("&decision=approve").await);
    assert!(approved.contains("callback?code=ory_ac_"), "{approved}");
    let denied = location(ask("&decision=deny").await);
    assert!(denied.contains("error=access_denied"), "{denied}");
    assert!(
        denied.ends_with("&state=ab") && !denied.contains("code="),
        "{denied}"
    );
}

#[tokio::test]
async fn a_refresh_by_json_body_works_too() {
    let sim = start(|_| {}).await;
    let body = json!({
        "grant_type": "refresh_token",
        "refresh_token": sim.refresh_token(),
        "client_id": sim.client_id(),
        "client_secret": sim.client_secret(),
    });
    let reply = post(&sim, "/oauth2/token", "application/json", &body.to_string()).await;
    assert_eq!(reply.status, 200);
    assert_ne!(word(&reply, "refresh_token"), sim.refresh_token());
}

#[tokio::test]
async fn reuse_revokes_the_family_and_the_ledger_shows_it() {
    let sim = start(|_| {}).await;
    let renewed = refresh(&sim, sim.refresh_token()).await;
    let newest = word(&renewed, "access_token");
    assert_eq!(
        get_with(&sim, &newest, "/store/info").await.unwrap().status,
        200
    );
    let reuse = refresh(&sim, sim.refresh_token()).await;
    assert_eq!(reuse.status, 401);
    assert_eq!(reuse.json()["error"], "invalid_grant");
    assert!(
        reuse.json().get("status").is_none(),
        "OAuth errors have no envelope"
    );
    assert_eq!(
        get_with(&sim, &newest, "/store/info").await.unwrap().status,
        401
    );
    assert_eq!(get(&sim, "/store/info").await.status, 401);
    assert_eq!(
        refresh(&sim, &word(&renewed, "refresh_token")).await.status,
        401
    );
    let ledger = sim.ledger();
    assert_eq!((ledger.refreshes, ledger.refresh_reuses), (1, 1));
    assert_eq!(ledger.known_refresh_reuses, 1);
    assert_eq!(ledger.refresh_presentations, 3);
    assert_eq!(ledger.max_presentations_of_a_token, 2);
}

/// What the client cannot know is distinguished from what it knows.
#[tokio::test]
async fn a_token_is_used_or_not_before_an_answer_is_damaged() {
    let table = [
        (Fault::Status(503), 0),
        (Fault::Reset, 0),
        (Fault::HtmlUndone, 0),
        (Fault::LostAnswer, 1),
        (Fault::DoneStatus(503), 1),
        (Fault::DoneHtml(502), 1),
        (Fault::Truncate, 1),
        (Fault::Html, 1),
    ];
    for (fault, used) in table {
        let sim = start(|_| {}).await;
        sim.queue_fault(Endpoint::OauthToken, fault);
        let form = refresh_form(&sim, sim.refresh_token());
        if let Ok(reply) = try_post(&sim, "/oauth2/token", FORM, &form).await {
            assert!(!reply.text.contains("token_type"), "{fault:?}");
        }
        assert_eq!(sim.ledger().refreshes, used, "{fault:?}");
        let again = refresh(&sim, sim.refresh_token()).await;
        assert_eq!(again.status, if used == 1 { 401 } else { 200 }, "{fault:?}");
        let ledger = sim.ledger();
        assert_eq!(ledger.refresh_reuses, used, "{fault:?}");
        assert_eq!(ledger.known_refresh_reuses, 0, "{fault:?}");
        assert_eq!(ledger.max_presentations_of_a_token, 2, "{fault:?}");
    }
}

#[tokio::test]
async fn an_accounts_host_that_is_away_stays_away_until_it_is_back() {
    let sim = start(|scenario| scenario.oauth.token_fault = Some(Fault::Status(503))).await;
    for _ in 0..3 {
        let refused = refresh(&sim, sim.refresh_token()).await;
        assert_eq!(refused.status, 503);
    }
    assert_eq!(get(&sim, "/store/info").await.status, 200);
    sim.set(|scenario| scenario.oauth.token_fault = None);
    assert_eq!(refresh(&sim, sim.refresh_token()).await.status, 200);
}

#[tokio::test]
async fn a_token_answer_follows_the_scenario() {
    let sim = start(|scenario| {
        scenario.oauth.lifetime_members = Some(r#""expires_in":0,"expires":null"#.to_owned());
        scenario.oauth.omit_refresh_token = true;
    })
    .await;
    let reply = refresh(&sim, sim.refresh_token()).await.json();
    assert_eq!(reply["expires_in"], 0);
    assert!(reply["expires"].is_null() && reply.get("refresh_token").is_none());

    let sim = start(|scenario| {
        scenario.oauth.lifetime_members = Some(String::new());
        scenario.oauth.invalid_grant_code = "token_inactive".to_owned();
    })
    .await;
    let reply = refresh(&sim, sim.refresh_token()).await.json();
    assert!(reply.get("expires_in").is_none() && reply.get("expires").is_none());
    let reuse = refresh(&sim, sim.refresh_token()).await.json();
    assert_eq!(reuse["error"], "token_inactive");
}

#[tokio::test]
async fn two_refreshes_at_once_disconnect_the_shop() {
    let sim = start(|scenario| scenario.oauth.invalid_grant_status = 400).await;
    let (first, second) = tokio::join!(
        refresh(&sim, sim.refresh_token()),
        refresh(&sim, sim.refresh_token())
    );
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(get(&sim, "/store/info").await.status, 401);
}

#[tokio::test]
async fn a_lost_refresh_answer_leaves_the_old_access_token_alive() {
    let sim = start(|_| {}).await;
    sim.queue_fault(Endpoint::OauthToken, Fault::LostAnswer);
    let form = refresh_form(&sim, sim.refresh_token());
    assert!(try_post(&sim, "/oauth2/token", FORM, &form).await.is_err());
    assert_eq!(get(&sim, "/store/info").await.status, 200);
    assert_eq!(refresh(&sim, sim.refresh_token()).await.status, 401);
    assert_eq!(sim.ledger().refresh_reuses, 1);
}

#[tokio::test]
async fn the_mode_that_loses_every_refresh_answer_loses_it() {
    let sim = start(|scenario| scenario.oauth.lose_refresh_answers = true).await;
    let form = refresh_form(&sim, sim.refresh_token());
    assert!(try_post(&sim, "/oauth2/token", FORM, &form).await.is_err());
    assert_eq!(sim.ledger().refreshes, 1);
}

#[tokio::test]
async fn lifetimes_have_three_names() {
    let cases = [
        (LifetimeField::ExpiresIn, "expires_in", 1_209_599),
        (LifetimeField::ExpiresSeconds, "expires", 1_209_599),
        (
            LifetimeField::ExpiresEpoch,
            "expires",
            1_749_978_000 + 1_209_599,
        ),
    ];
    for (lifetime_field, name, value) in cases {
        let sim = start(|scenario| scenario.oauth.lifetime_field = lifetime_field).await;
        let reply = refresh(&sim, sim.refresh_token()).await;
        assert_eq!(reply.json()[name], value);
    }
}

#[tokio::test]
async fn tokens_end_by_time_by_use_and_by_fault() {
    let by_time = start(|_| {}).await;
    by_time.clock().advance(Duration::from_secs(1_209_600));
    assert_eq!(get(&by_time, "/orders").await.status, 401);

    let by_use = start(|scenario| scenario.oauth.access_token_requests = Some(1)).await;
    assert_eq!(get(&by_use, "/orders").await.status, 200);
    assert_eq!(get(&by_use, "/orders").await.status, 401);

    let by_fault = start(|_| {}).await;
    by_fault.queue_fault(Endpoint::Orders, Fault::ExpireToken);
    let refused = get(&by_fault, "/orders").await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.json()["error"]["message"],
        "The access token is invalid"
    );
    assert_eq!(get(&by_fault, "/store/info").await.status, 401);
    assert_eq!(
        refresh(&by_fault, by_fault.refresh_token()).await.status,
        200
    );
}

#[tokio::test]
async fn a_missing_scope_is_a_401_that_a_refresh_does_not_cure() {
    let sim = start(|scenario| scenario.oauth.scopes.retain(|scope| scope != "orders.read")).await;
    let refused = get(&sim, "/orders").await;
    assert_eq!(refused.status, 401);
    let message = refused.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.ends_with("one of those scopes: orders.read"),
        "{message}"
    );
    assert_eq!(get(&sim, "/store/info").await.status, 200);
    sim.set(|scenario| scenario.oauth.scopes.push("orders.read_write".to_owned()));
    assert_eq!(get(&sim, "/orders").await.status, 200);
}

#[tokio::test]
async fn an_inactive_account_and_an_uninstalled_app_are_refused() {
    let sim = start(|scenario| scenario.shop_state = ShopState::Inactive).await;
    let inactive = get(&sim, "/orders").await;
    assert_eq!(inactive.status, 401);
    assert!(
        inactive.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("غير مفعل")
    );
    sim.set(|scenario| scenario.shop_state = ShopState::Uninstalled);
    assert_eq!(
        get(&sim, "/orders").await.json()["error"]["message"],
        "The access token is invalid"
    );
    assert_eq!(refresh(&sim, sim.refresh_token()).await.status, 401);
}

#[tokio::test]
async fn the_user_is_given_with_and_without_envelope() {
    let sim = start(|_| {}).await;
    let info = |sim: Simulator| async move {
        let request = Request::get("/oauth2/user/info")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", sim.access_token()))
            .body(Full::default())
            .unwrap();
        let reply = send(&sim, request).await.unwrap().json();
        (sim, reply)
    };
    let (sim, wrapped) = info(sim).await;
    assert_eq!(
        wrapped["data"]["merchant"]["id"].as_i64(),
        Some(sim.merchant_id())
    );
    sim.set(|scenario| scenario.oauth.user_info_in_data = false);
    let (sim, bare) = info(sim).await;
    assert_eq!(bare["merchant"]["id"].as_i64(), Some(sim.merchant_id()));
}
