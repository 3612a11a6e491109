//! Faults: the import completes, or stops where it can resume.

use domain::failure::{Disconnection, Failure};
use importer::import::ImportOutcome;
use salla_simulator::{AppAge, Endpoint, Fault, FaultRates, Scenario, ShopState};

use crate::service::{TestService, completed};
use crate::truth::small;

/// Back-off takes simulated seconds, so the clocks run fast.
fn fast(scale: f64, mut scenario: Scenario) -> Scenario {
    scenario.clock.scale = scale;
    scenario
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rough_ride_ends_with_the_same_tables() {
    for app_age in [AppAge::Expanded, AppAge::LightDetails] {
        let service = TestService::start(fast(
            40.0,
            Scenario {
                app_age,
                faults: FaultRates {
                    status_500: 0.02,
                    status_502: 0.02,
                    status_503: 0.02,
                    reset: 0.02,
                    lost_answer: 0.02,
                    truncate: 0.02,
                    html: 0.02,
                    throttle: 0.01,
                    hang: 0.002,
                    slow: 0.02,
                    slow_ms: 2_000,
                    empty_502: 0.01,
                    status_504: 0.01,
                    text_503: 0.01,
                    ..FaultRates::default()
                },
                ..small(500)
            },
        ))
        .await;
        service.import_and_compare().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expire_in_the_middle_are_renewed_and_never_presented_twice() {
    let mut scenario = fast(
        10.0,
        Scenario {
            app_age: AppAge::FullDetails,
            ..small(400)
        },
    );
    // More than are in flight: no request should meet the end of every token.
    scenario.oauth.access_token_requests = Some(110);
    let service = TestService::start(scenario).await;
    service.import_and_compare().await;
    let ledger = service.simulator.ledger();
    assert!(ledger.refreshes >= 3, "{} refreshes", ledger.refreshes);
}

/// A missing scope is a 401 too; refreshing on it would burn a token for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_scope_is_named_and_no_token_is_spent() {
    let mut scenario = fast(40.0, small(100));
    scenario
        .oauth
        .scopes
        .retain(|scope| scope != "customers.read");
    let service = TestService::start(scenario).await;
    let (_, outcome) = service.import().await;
    let expected = Failure::Disconnected(Disconnection::ScopeMissing);
    assert!(
        matches!(&outcome, ImportOutcome::Failed { failure, .. } if *failure == expected),
        "{outcome:?}"
    );
    assert_eq!(service.simulator.ledger().refreshes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstalled_app_fails_and_a_new_start_goes_on_once_it_is_back() {
    let service = TestService::start(fast(40.0, small(400))).await;
    let connected = service.connect().await;
    let merchant = connected.merchant;
    service
        .simulator
        .set(|s| s.shop_state = ShopState::Inactive);
    let (_handle, stop) = importer::stop::stop_pair();
    let outcome = service.import_with(connected, stop).await;
    assert!(
        matches!(
            outcome,
            ImportOutcome::Failed {
                failure: Failure::Disconnected(_),
                ..
            }
        ),
        "{outcome:?}"
    );
    service.simulator.set(|s| s.shop_state = ShopState::Active);
    let (_, outcome) = service.import().await;
    service.compare(merchant, &completed(outcome)).await;
}

/// Salla is unavailable for longer than any retry lasts: the run stops where it is and the next
/// start resumes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_interrupts_and_the_next_start_goes_on() {
    // Thirty seconds of a response are most of a real one, which a busy machine may take.
    let service = TestService::start(fast(40.0, small(600))).await;
    let connected = service.connect().await;
    let merchant = connected.merchant;
    service.simulator.set(|s| s.faults.status_503 = 1.0);
    let (_handle, stop) = importer::stop::stop_pair();
    let outcome = service.import_with(connected, stop).await;
    assert!(
        matches!(
            outcome,
            ImportOutcome::Interrupted(Failure::Transient { .. })
        ),
        "{outcome:?}"
    );
    service.simulator.set(|s| s.faults.status_503 = 0.0);
    let (_, outcome) = service.import().await;
    service.compare(merchant, &completed(outcome)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_fault_of_every_kind_is_survived_at_the_first_page() {
    let service = TestService::start(fast(100.0, small(200))).await;
    for fault in [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Hang,
        Fault::Reset,
        Fault::Truncate,
        Fault::Html,
        Fault::Throttle,
        Fault::LostAnswer,
        Fault::ExpireToken,
    ] {
        service.simulator.queue_fault(Endpoint::Orders, fault);
    }
    service.import_and_compare().await;
}

/// Too many records of one kind are malformed: our reading is probably wrong.
#[tokio::test(flavor = "multi_thread")]
async fn mass_rejection_stops_the_run() {
    let mut scenario = fast(10.0, small(2_000));
    scenario.invalid.orders = 0.9;
    let service = TestService::start(scenario).await;
    let (merchant, outcome) = service.import().await;
    assert!(
        matches!(
            outcome,
            ImportOutcome::Failed {
                failure: Failure::TooManyRejections { .. },
                ..
            }
        ),
        "{outcome:?}"
    );
    let today = domain::instant::riyadh_date(service.clock.now());
    let range = domain::window::DayRange::last_months(today, 12);
    assert!(!service.compare_rows(merchant, range).await.is_empty());
}
