//! The program as a process: killed, started twice, interrupted, piped.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use domain::run::RunState;
use importer::testing::clock::a_moment;
use salla_simulator::{AppAge, Scenario};
use tokio::time::Instant;

use crate::jobs::PATIENCE;
use crate::service::TestService;
use crate::support;
use crate::truth::small;

/// `salla-sync` with the settings of a service, ready to be started.
pub(crate) fn program(service: &TestService, arguments: &[&str]) -> Command {
    let database_url = service.database.url();
    let mut command = support::program(&service.simulator, &database_url, arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The program asks the machine's clock what today is, so the shop lives today.
pub(crate) async fn present_day(scenario: Scenario) -> TestService {
    TestService::start(scenario.moved_to(salla_simulator::present())).await
}

pub(crate) async fn ended(child: &mut Child) {
    while child.try_wait().expect("it can be waited for").is_none() {
        a_moment().await;
    }
}

pub(crate) async fn run(command: Command) -> std::process::Output {
    let mut command = command;
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("the wait is not cancelled")
        .expect("the program starts")
}

pub(crate) async fn finish_and_compare(service: &TestService) {
    let output = run(program(service, &["import"])).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let runs = service
        .open
        .runs()
        .list()
        .await
        .expect("runs can be listed");
    let (shop, run) = &runs[0];
    let run = run.as_ref().expect("there is a run");
    assert_eq!(run.state, RunState::Completed);
    let certificate = run.certificate.as_ref().expect("a certificate is stored");
    service.compare(shop.merchant, certificate).await;
}

/// kill -9 after a seeded number of requests, again and again; then to the end. The next one does
/// not wait for the dead one's lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_anywhere_loses_and_doubles_nothing() {
    for (seed, app_age) in [
        (1, AppAge::Expanded),
        (2, AppAge::FullDetails),
        (3, AppAge::LightDetails),
        (4, AppAge::Expanded),
    ] {
        let mut scenario = small(500);
        scenario.app_age = app_age;
        scenario.latency.fixed_ms = 5;
        scenario.shop.seed = seed;
        let service = present_day(scenario).await;
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..4 {
            let after = service.simulator.ledger().requests + random.u64(1..90);
            let mut child = program(&service, &["import"]).spawn().expect("it starts");
            tokio::select! {
                () = service.simulator.until_requests(after) => {}
                () = ended(&mut child) => {}
            }
            // Dying while it is being killed is as good.
            drop(child.kill());
            child.wait().expect("it ends");
        }
        eprintln!("seed {seed}: killed four times");
        finish_and_compare(&service).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_programs_one_works_and_the_other_says_so() {
    // Two thousand details, not a hundred of them at a time, last until both others are done.
    let mut scenario = small(2_000);
    scenario.app_age = AppAge::FullDetails;
    scenario.latency.fixed_ms = 1_000;
    let service = present_day(scenario).await;
    let mut first = program(&service, &["import"]).spawn().expect("it starts");
    service.simulator.until_requests(10).await;
    for arguments in [
        &["import", "--no-wait"][..],
        &["resync", "--resource", "products", "--no-wait"],
    ] {
        let second = run(program(&service, arguments)).await;
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(4), "{arguments:?}: {said}");
        assert!(said.contains("is importing this shop"), "{said}");
        assert!(
            said.contains(&format!("process {} on", first.id())),
            "{said}"
        );
    }
    let still_works = first.try_wait().expect("it can be waited for").is_none();
    assert!(still_works, "the second one must not have disturbed it");
    first.kill().expect("it can be ended");
    first.wait().expect("it can be waited for");
}

/// Something takes no longer than the limit, unless the machine is busy with something else;
/// but it is not three times in a row.
pub(crate) async fn within(limit: Duration, mut once: impl AsyncFnMut() -> Duration) {
    let mut all = Vec::new();
    while all.len() < 3 {
        all.push(once().await);
        if all.last() < Some(&limit) {
            return;
        }
    }
    panic!("it takes longer than {limit:?}: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_within_two_seconds_and_says_how_to_go_on() {
    let mut scenario = small(2_000);
    scenario.latency.fixed_ms = 400;
    let service = present_day(scenario).await;
    within(Duration::from_secs(2), async || {
        let before = service.simulator.ledger().requests;
        let child = program(&service, &["import"]).spawn().expect("it starts");
        service.simulator.until_requests(before + 10).await;
        let pid = i32::try_from(child.id()).expect("process ids are small");
        let told = Instant::now();
        // SAFETY: kill(2) has no memory effects; the process is our own child.
        unsafe { libc::kill(pid, libc::SIGINT) };
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
        let output = tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("it stops")
            .expect("the wait is not cancelled")
            .expect("it can be waited for");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("run the same command again"), "{said}");
        told.elapsed()
    })
    .await;
    finish_and_compare(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_or_personal_is_ever_logged() {
    let mut scenario = small(200);
    scenario.faults.status_500 = 0.05;
    scenario.invalid.orders = 0.02;
    scenario.oauth.access_token_requests = Some(15);
    let service = present_day(scenario).await;
    let output = run(program(
        &service,
        &["--log", "trace", "--log-format", "json", "import"],
    ))
    .await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.lines().any(|line| line.starts_with('{')),
        "there are JSON log lines"
    );
    for token in ["ory_at_", "ory_rt_", service.simulator.client_secret()] {
        assert!(!said.contains(token), "a token was logged");
    }
    for customer in service.simulator.shop().truth_customers() {
        assert!(
            !said.contains(&customer.email),
            "an e-mail address was logged"
        );
        assert!(
            !said.contains(&customer.mobile.to_string()),
            "a phone number was logged"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_settings_are_reported_together_with_their_fixes() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salla-sync"));
    command.arg("import").env_clear();
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("DATABASE_URL") && said.contains("SALLA_ACCESS_TOKEN"),
        "{said}"
    );
}

/// Without the app's keys it would work until the first token ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_could_renew_no_token_does_not_start() {
    let table: [&[&str]; 3] = [&[], &["SALLA_CLIENT_ID"], &["SALLA_CLIENT_SECRET"]];
    for given in table {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salla-sync"));
        command
            .arg("work")
            .env_clear()
            .env("DATABASE_URL", "postgres://user@127.0.0.1:1/nothing")
            .env("SALLA_SYNC_KEY", support::KEY);
        for name in given {
            command.env(name, "of the app");
        }
        let output = run(command).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{given:?}: {said}");
        for name in ["SALLA_CLIENT_ID", "SALLA_CLIENT_SECRET"] {
            assert!(said.contains(name), "{given:?}: {said}");
        }
    }
}

/// A worker's settings hold no token.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_does_without_a_token_and_minds_a_wrong_one() {
    let service = present_day(small(60)).await;
    let mut without = program(&service, &["doctor"]);
    without
        .env_remove("SALLA_ACCESS_TOKEN")
        .env_remove("SALLA_REFRESH_TOKEN");
    let output = run(without).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("not checked") && !said.contains("BAD"),
        "{said}"
    );
    assert_eq!(service.simulator.ledger().requests, 0, "{said}");

    let mut wrong = program(&service, &["doctor"]);
    wrong.env("SALLA_ACCESS_TOKEN", "ory_at_wrong");
    let output = run(wrong).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("BAD  token"), "{said}");
}

/// Else the operator waits for traces that never come.
#[cfg(not(feature = "otel"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_opentelemetry_says_so_when_a_collector_is_set() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salla-sync"));
    command.arg("import").env_clear();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    let said = String::from_utf8_lossy(&run(command).await.stderr).into_owned();
    let lines = said.lines().filter(|line| {
        line.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && line.contains("--features otel")
    });
    assert_eq!(lines.count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_shows_its_results() {
    let service = present_day(Scenario {
        invalid: salla_simulator::InvalidRates {
            orders: 0.05,
            ..Default::default()
        },
        ..small(120)
    })
    .await;
    for arguments in [
        &["doctor"][..],
        &["plan"],
        &["plan", "--json"],
        &["import", "--json", "--rejection-share", "50%"],
        &["import"],
        &["status"],
        &["status", "--json", "--certificate"],
        &["rejected"],
        &["rejected", "--json", "--limit", "3"],
        &["migrate", "--dry-run"],
        &["migrate"],
    ] {
        let output = run(program(&service, arguments)).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(!output.stdout.is_empty(), "{arguments:?} says nothing");
        if arguments.contains(&"--json") {
            serde_json::from_slice::<serde_json::Value>(&output.stdout)
                .unwrap_or_else(|error| panic!("{arguments:?} is no JSON: {error}"));
        }
    }
}
