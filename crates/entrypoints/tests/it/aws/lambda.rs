//! The real function, invoked as Lambda invokes it: to the end of an import with deadlines of
//! seconds, killed at random, timed out, and given messages twice.

use std::time::Duration;

use domain::run::{RunId, RunState};
use domain::window::DayRange;
use entrypoints::wiring;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::queue::{Queue as _, QueueName};
use importer::ports::runs::Run;
use salla_simulator::AppAge;
use serde_json::{Value, json};

use super::sandbox::{Ended, Sandbox};
use super::{Cloud, names};
use crate::process::present_day;
use crate::service::TestService;
use crate::truth::small;
use aws::sqs::testing::{delete, hand_over};

/// In seconds; other than in the deployment, since what was killed is waited for.
const VISIBILITY: i32 = 60;

/// Longer than any hold of a message in the database.
const LONGEST_HOLD: Duration = Duration::from_secs(240);

/// A shop that is connected and has a run that was started, its message committed and not
/// sent yet.
async fn started(service: &TestService) -> Run {
    let clock = service.clock.clone();
    let connected = wiring::connect_and_store(&service.open, &service.salla(), clock).await;
    let merchant = connected.expect("the shop connects").merchant;
    let today = domain::instant::riyadh_date(SystemClock::real().now());
    let range = DayRange::last_months(today, 12);
    let jobs = service.open.jobs();
    let started = jobs.start(merchant, &service.options, range).await;
    started.expect("the run is started").run
}

async fn found(service: &TestService, run: RunId) -> Run {
    let found = service.open.jobs().find(run).await;
    found.expect("runs can be read").expect("the run is there")
}

fn scheduled() -> Value {
    json!({"source": "aws.scheduler", "detail": {}})
}

async fn rows(service: &TestService) -> i64 {
    let count = "SELECT count(*) FROM salla_sync.queue_messages";
    let count = sqlx::query_scalar(count).fetch_one(service.database.pool());
    count.await.expect("rows can be counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_many_invocations_and_one_certificate() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scenario = small(700);
    scenario.app_age = AppAge::FullDetails;
    scenario.latency.fixed_ms = 250;
    let service = present_day(scenario).await;
    let cloud = Cloud::start().await;
    let run = started(&service).await;

    let mut sandboxes = [
        Sandbox::start(&service, &cloud).await,
        Sandbox::start(&service, &cloud).await,
    ];
    // What was committed and not sent is sent by the next sweep.
    let swept = sandboxes[0]
        .invoke(scheduled(), Duration::from_secs(20))
        .await;
    assert!(matches!(swept, Ended::Answered(_)), "{swept:?}");

    let queue = names(QueueName::HistoricalSync).queue;
    // Whether a message waits for the end of its lease.
    let mut is_lost = false;
    let (mut ahead, mut invocations, mut passed_on, mut killed, mut timed_out, mut twice) =
        (0, 0, 0, 0, 0, 0);
    while found(&service, run.id).await.state != RunState::Completed {
        assert!(invocations < 150, "seed {seed}: it does not end");
        cloud.set_ahead(ahead);
        let Some((event, handle)) = hand_over(&cloud.aws, &queue, VISIBILITY).await else {
            if std::mem::take(&mut is_lost) {
                ahead += i64::from(VISIBILITY) + 5;
            }
            SystemClock::real().sleep(Duration::from_millis(50)).await;
            continue;
        };
        invocations += 1;
        let clock = SystemClock::real();
        let [one, other] = &mut sandboxes;
        match random.u32(0..8) {
            // Ended in its midst by something that is nobody's fault.
            0 => {
                let ended = one.begin(event, Duration::from_secs(3)).await;
                let after = Duration::from_millis(random.u64(0..2_500));
                tokio::select! {
                    _ = ended => {}
                    () = clock.sleep(after) => killed += 1,
                }
                one.kill();
                is_lost = true;
                *one = Sandbox::start(&service, &cloud).await;
            }
            // Less time than anything takes.
            1 => {
                let ended = one
                    .invoke(event, Duration::from_millis(random.u64(1..200)))
                    .await;
                if matches!(ended, Ended::TimedOut) {
                    timed_out += 1;
                    is_lost = true;
                    *one = Sandbox::start(&service, &cloud).await;
                }
            }
            // The same message to two at once.
            2 => {
                let time = Duration::from_secs(4);
                let (first, second) =
                    tokio::join!(one.invoke(event.clone(), time), other.invoke(event, time));
                twice += 1;
                let mut is_answered = false;
                for (ended, sandbox) in [(first, one), (second, other)] {
                    match ended {
                        Ended::TimedOut => *sandbox = Sandbox::start(&service, &cloud).await,
                        _ => is_answered = true,
                    }
                }
                match is_answered {
                    true => delete(&cloud.aws, &queue, &handle).await,
                    false => is_lost = true,
                }
            }
            _ => {
                let time = Duration::from_secs(random.u64(2..5));
                match one.invoke(event, time).await {
                    Ended::Answered(answer) => {
                        assert_eq!(answer, json!({"batchItemFailures": []}), "seed {seed}");
                        delete(&cloud.aws, &queue, &handle).await;
                        passed_on += 1;
                    }
                    Ended::Refused(error) => panic!("seed {seed}: {error}"),
                    Ended::TimedOut => {
                        panic!("seed {seed}: it has not stopped within {time:?}")
                    }
                }
            }
        }
    }
    eprintln!(
        "{invocations} invocations, {passed_on} in time, {killed} killed, {timed_out} timed out, \
         {twice} given twice"
    );
    assert!(invocations > 3, "it was passed on");
    let run = found(&service, run.id).await;
    let certificate = run.certificate.as_ref().expect("there is a certificate");
    service.compare(run.merchant, certificate).await;

    // What is left are copies of its message and what tells of the end, once. The database's
    // clock is the wall's, so what was held when its function was killed is free after its lease.
    let clock = SystemClock::real();
    let began = clock.monotonic();
    while rows(&service).await > 0 {
        assert!(
            clock.monotonic().saturating_sub(began) < LONGEST_HOLD,
            "seed {seed}: every message is done"
        );
        ahead += 300;
        cloud.set_ahead(ahead);
        for name in QueueName::ALL {
            let queue = names(name).queue;
            while let Some((event, handle)) = hand_over(&cloud.aws, &queue, VISIBILITY).await {
                let ended = sandboxes[0].invoke(event, Duration::from_secs(10)).await;
                assert!(matches!(ended, Ended::Answered(_)), "{ended:?}");
                delete(&cloud.aws, &queue, &handle).await;
            }
        }
        let swept = sandboxes[0]
            .invoke(scheduled(), Duration::from_secs(10))
            .await;
        assert!(matches!(swept, Ended::Answered(_)), "{swept:?}");
        clock.sleep(Duration::from_millis(500)).await;
    }
    let notices = "SELECT count(*) FROM salla_sync.notifications";
    let notices: i64 = sqlx::query_scalar(notices)
        .fetch_one(service.database.pool())
        .await
        .expect("notices can be counted");
    assert_eq!(notices, 1, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doors_respond_and_what_is_no_event_of_ours_is_refused() {
    let service = present_day(small(60)).await;
    let cloud = Cloud::start().await;
    let mut sandbox = Sandbox::start(&service, &cloud).await;
    let request = |method: &str, path: &str| {
        json!({
            "version": "2.0", "rawPath": path, "rawQueryString": "", "headers": {},
            "requestContext": {"http": {"method": method, "path": path}},
        })
    };
    let time = Duration::from_secs(20);
    for (method, path, status) in [
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/api/v1/merchants/1/sync", 401),
        ("GET", "/nowhere", 404),
    ] {
        let Ended::Answered(answer) = sandbox.invoke(request(method, path), time).await else {
            panic!("{method} {path} is answered");
        };
        assert_eq!(answer["statusCode"], status, "{method} {path}: {answer}");
        assert_eq!(answer["headers"]["x-content-type-options"], "nosniff");
    }
    let refused = sandbox.invoke(json!({"source": "aws.s3"}), time).await;
    let Ended::Refused(error) = refused else {
        panic!("it is refused: {refused:?}");
    };
    assert!(error.to_string().contains("function URL"), "{error}");

    // A message that is no job is a dead letter at once.
    let queue = names(QueueName::HistoricalSync).queue;
    aws::sqs::testing::send_raw(&cloud.aws, &queue, "no job").await;
    let (event, _) = hand_over(&cloud.aws, &queue, VISIBILITY).await.unwrap();
    let ended = sandbox.invoke(event, time).await;
    assert!(matches!(ended, Ended::Answered(_)), "{ended:?}");
    let name = QueueName::HistoricalSync;
    let settings = importer::ports::queue::QueueSettings::of(name);
    let clock = std::sync::Arc::new(SystemClock::real());
    let opened = aws::sqs::SqsQueue::open(&cloud.aws, super::PREFIX, name, settings, clock).await;
    let depth = opened.unwrap().depth().await.unwrap();
    assert_eq!((depth.dead, depth.ready, depth.in_flight), (1, 0, 0));
}
