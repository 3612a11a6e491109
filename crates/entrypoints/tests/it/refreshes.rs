//! Refresh tokens, by the simulator's ledger: what is known to be used is never presented
//! again, and what may be used is presented one last time.

use domain::failure::{Disconnection, Failure};
use importer::import::ImportOutcome;
use importer::ports::connections::{BeginRefresh, ConnectionState, Presentation};
use salla_client::http::token_client;
use salla_client::oauth::OAuth;
use salla_simulator::{Endpoint, Fault, LedgerReport, Scenario};

use crate::process::{program, run};
use crate::service::{TestService, completed};
use crate::truth::small;

fn fast(scale: f64, mut scenario: Scenario) -> Scenario {
    scenario.clock.scale = scale;
    scenario
}

/// A shop whose access token ends in the middle of the import.
fn expiring() -> Scenario {
    let mut scenario = fast(100.0, small(400));
    scenario.oauth.access_token_requests = Some(12);
    scenario
}

async fn import(service: &TestService) -> ImportOutcome {
    service.import().await.1
}

fn assert_never_known(ledger: &LedgerReport) {
    assert_eq!(ledger.known_refresh_reuses, 0, "{ledger:?}");
    assert!(ledger.max_presentations_of_a_token <= 2, "{ledger:?}");
}

/// The token was not used, but the client cannot know.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_before_the_use_costs_one_more_presentation_and_no_shop() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::EmptyStatus(502),
        Fault::TextStatus(504),
        Fault::Reset,
        Fault::HtmlUndone,
        Fault::HangUndone,
    ] {
        let service = TestService::start(expiring()).await;
        service.simulator.queue_fault(Endpoint::OauthToken, fault);
        service.import_and_compare().await;
        let ledger = service.simulator.ledger();
        assert_eq!(ledger.max_presentations_of_a_token, 2, "{fault:?}");
        assert_never_known(&ledger);
    }
}

/// The token was used, which the client cannot know: only the last presentation shows it.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_use_is_found_out_by_one_last_presentation() {
    for fault in [
        Fault::DoneStatus(500),
        Fault::DoneHtml(502),
        Fault::LostAnswer,
        Fault::Truncate,
        Fault::Html,
        Fault::Hang,
    ] {
        let mut scenario = expiring();
        scenario.oauth.invalid_grant_code = "token_inactive".to_owned();
        let service = TestService::start(scenario).await;
        service.simulator.queue_fault(Endpoint::OauthToken, fault);
        let outcome = import(&service).await;
        let expected = Failure::Disconnected(Disconnection::RefreshLost);
        assert!(
            matches!(&outcome, ImportOutcome::Failed { failure, .. } if *failure == expected),
            "{fault:?}: {outcome:?}"
        );
        let presented = service.simulator.ledger().refresh_presentations;
        assert_eq!(presented, 2, "{fault:?}");
        let again = service.try_to_connect(&service.salla()).await;
        assert_eq!(again.err(), Some(expected), "{fault:?}");
        let ledger = service.simulator.ledger();
        assert_eq!(ledger.refresh_presentations, 2, "{fault:?}");
        assert_never_known(&ledger);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_always_lost_cost_two_presentations() {
    let mut scenario = expiring();
    scenario.oauth.lose_refresh_answers = true;
    let service = TestService::start(scenario).await;
    let outcome = import(&service).await;
    let expected = Failure::Disconnected(Disconnection::RefreshLost);
    assert!(
        matches!(&outcome, ImportOutcome::Failed { failure, .. } if *failure == expected),
        "{outcome:?}"
    );
    let ledger = service.simulator.ledger();
    assert_eq!(ledger.refresh_presentations, 2);
    assert_never_known(&ledger);
}

/// An early refresh meets a host that is away for hours; the old token still serves.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_while_the_access_token_lives_is_not_noticed() {
    let mut scenario = fast(100.0, small(400));
    scenario.oauth.token_fault = Some(Fault::Status(503));
    let service = TestService::start(scenario).await;
    let mut salla = service.salla();
    let soon = jiff::SignedDuration::from_hours(3);
    salla.tokens.expires_at = Some(service.clock.now() + soon);
    let connected = service.connect_with(&salla).await;
    let (_handle, stop) = importer::stop::stop_pair();
    let merchant = connected.merchant;
    let certificate = completed(service.import_with(connected, stop).await);
    service.compare(merchant, &certificate).await;
    let ledger = service.simulator.ledger();
    assert_eq!(ledger.refresh_presentations, 1);
    assert_eq!(ledger.refreshes, 0);
}

/// The merchant installs the app again while the fate of the old token is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn newer_tokens_that_arrive_meanwhile_are_used_and_nothing_is_presented() {
    let mut scenario = fast(100.0, small(400));
    scenario.oauth.token_fault = Some(Fault::DoneStatus(503));
    let service = TestService::start(scenario).await;
    let mut salla = service.salla();
    let soon = jiff::SignedDuration::from_hours(3);
    salla.tokens.expires_at = Some(service.clock.now() + soon);
    let connected = service.connect_with(&salla).await;
    assert_eq!(service.simulator.ledger().refresh_presentations, 1);

    let newer = service.simulator.first_shop().install_again();
    salla.tokens.access = newer.0.into();
    salla.tokens.refresh = Some(newer.1.into());
    salla.tokens.expires_at = None;
    service.connect_with(&salla).await;
    service
        .simulator
        .queue_fault(Endpoint::Orders, Fault::ExpireToken);
    let (_handle, stop) = importer::stop::stop_pair();
    let merchant = connected.merchant;
    let certificate = completed(service.import_with(connected, stop).await);
    service.compare(merchant, &certificate).await;
    assert_eq!(service.simulator.ledger().refresh_presentations, 1);
}

/// Whatever Salla says about how long tokens live.
#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_that_makes_no_sense_costs_one_refresh() {
    for members in [
        r#""expires_in":0"#,
        r#""expires_in":"-5""#,
        r#""expires":1500000000"#,
        r#""expires":1500000000000,"expires_in":null"#,
        "",
    ] {
        let mut scenario = fast(20.0, small(400));
        scenario.oauth.lifetime_members = Some(members.to_owned());
        let service = TestService::start(scenario).await;
        service
            .simulator
            .queue_fault(Endpoint::StoreInfo, Fault::ExpireToken);
        service.import_and_compare().await;
        let ledger = service.simulator.ledger();
        assert_eq!(ledger.refreshes, 1, "{members}");
        assert_never_known(&ledger);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_refresh_token_leaves_none_to_present() {
    let mut scenario = expiring();
    // So that the second token comes to its end as well.
    scenario.oauth.access_token_requests = Some(6);
    scenario.oauth.omit_refresh_token = true;
    let service = TestService::start(scenario).await;
    let outcome = import(&service).await;
    let expected = Failure::Disconnected(Disconnection::TokenRejected);
    assert!(
        matches!(&outcome, ImportOutcome::Failed { failure, .. } if *failure == expected),
        "{outcome:?}"
    );
    let ledger = service.simulator.ledger();
    assert_eq!(ledger.refresh_presentations, 1);
    assert_never_known(&ledger);
}

/// Where a process has died in the middle of a refresh.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Died {
    BeforeSending,
    AfterTheUse,
    BeforeSendingTheLastTime,
}

/// The next process takes over, and cannot know how far the dead one has come.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_leaves_one_last_presentation() {
    for died in [
        Died::BeforeSending,
        Died::AfterTheUse,
        Died::BeforeSendingTheLastTime,
    ] {
        let service = TestService::start(expiring()).await;
        let connections = service.open.connections().unwrap();
        let salla = service.salla();
        let id = connections.open(&salla.tokens).await.unwrap().id;
        let mut presentation = Presentation::Needed;
        loop {
            let now = service.clock.now();
            let begun = connections.begin_refresh(id, 1, now, presentation).await;
            assert!(matches!(begun, Ok(BeginRefresh::Granted(_))), "{begun:?}");
            let ConnectionState::Refreshing(seen) = connections.load(id).await.unwrap().state
            else {
                panic!("it is under way");
            };
            if died != Died::BeforeSendingTheLastTime || seen.times == 2 {
                break;
            }
            presentation = Presentation::Last { seen: Some(seen) };
        }
        if died == Died::AfterTheUse {
            let url = salla.app.accounts_url.clone();
            let oauth = OAuth::new(token_client().unwrap(), url, service.clock.clone());
            let (app, token) = (salla.app.credentials(), salla.tokens.refresh.clone());
            oauth.refresh(&app.unwrap(), &token.unwrap()).await.unwrap();
        }

        let outcome = import(&service).await;
        let lost = Failure::Disconnected(Disconnection::RefreshLost);
        let ledger = service.simulator.ledger();
        match died {
            Died::BeforeSending => {
                completed(outcome);
                assert_eq!(ledger.refresh_reuses, 0);
            }
            Died::AfterTheUse | Died::BeforeSendingTheLastTime => assert!(
                matches!(&outcome, ImportOutcome::Failed { failure, .. } if *failure == lost),
                "{died:?}: {outcome:?}"
            ),
        }
        let presented = ledger.max_presentations_of_a_token;
        let expected = [1, 2, 0][died as usize];
        assert_eq!(presented, expected, "{died:?}");
    }
}

/// As docs/operate.md says for a restored backup, and then the operator retries the tokens all the
/// same.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_was_given_up_may_be_tried_one_last_time() {
    let service = TestService::start(fast(100.0, small(100))).await;
    service.connect().await;
    let give_up = "UPDATE salla_sync.connections
        SET state = 'DISCONNECTED', disconnected_why = 'refresh_lost', refresh_started_at = NULL";
    let pool = service.open.database.pool();
    sqlx::query(give_up)
        .execute(pool)
        .await
        .expect("it can be given up");
    let lost = Failure::Disconnected(Disconnection::RefreshLost);
    let refused = service.try_to_connect(&service.salla()).await;
    assert_eq!(refused.err(), Some(lost));

    let shop = service.simulator.merchant_id().to_string();
    let retry = async |expected: &str, code| {
        let arguments = ["connections", "retry", &shop, "--json"];
        let output = run(program(&service, &arguments)).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("it prints JSON");
        assert_eq!(report["result"], expected, "{report}");
    };
    retry("granted", 0).await;
    retry("serves", 0).await;
    // The old access token serves as long as Salla takes it.
    service.connect().await;
    assert_eq!(service.simulator.ledger().refresh_presentations, 0);
    let simulator = &service.simulator;
    simulator.queue_fault(Endpoint::StoreInfo, Fault::ExpireToken);
    service.import_and_compare().await;
    let ledger = service.simulator.ledger();
    assert_eq!((ledger.refresh_presentations, ledger.refreshes), (1, 1));
    assert_never_known(&ledger);
}
