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

use super::sandbox::{self, Ended, Sandbox};
use super::{Cloud, names};
use crate::process::present_day;
use crate::service::TestService;
use crate::truth::small;
use aws::sqs::testing::{delete, hand_over, send_raw};

/// In seconds; other than in the deployment, since what was killed is waited for.
pub(super) const VISIBILITY: i32 = 60;

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

pub(super) fn scheduled() -> Value {
    json!({"source": "aws.scheduler", "detail": {}})
}

pub(super) async fn rows(service: &TestService) -> i64 {
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
            // Ended in the middle, through no fault of the program.
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
            // The same message to two concurrently.
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

    // What is left are copies of its message and one notification of the end. The database's clock
    // is real time, so what was held when its function was killed is free after its lease.
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

/// A shop whose orders are read one by one, for longer than the turns of a test.
async fn long_import() -> (TestService, Cloud, Run) {
    let mut scenario = small(300);
    scenario.app_age = AppAge::FullDetails;
    scenario.latency.fixed_ms = 250;
    let service = present_day(scenario).await;
    let cloud = Cloud::start().await;
    let run = started(&service).await;
    (service, cloud, run)
}

/// The message of the run, once the sweep has sent it.
async fn first_message(cloud: &Cloud, sandbox: &mut Sandbox) -> (Value, String) {
    let swept = sandbox.invoke(scheduled(), Duration::from_secs(20)).await;
    assert!(matches!(swept, Ended::Answered(_)), "{swept:?}");
    let queue = names(QueueName::HistoricalSync).queue;
    let handed_over = hand_over(&cloud.aws, &queue, VISIBILITY).await;
    handed_over.expect("there is a message")
}

/// Who finds a run taken puts its copy of the message off until after the lease, though the run
/// may be passed on before; this is for those who do not wait for that.
async fn send_again(cloud: &Cloud, event: &Value) {
    let queue = names(QueueName::HistoricalSync).queue;
    let body = event["Records"][0]["body"].as_str().expect("it has a body");
    send_raw(&cloud.aws, &queue, body).await;
}

async fn claims(service: &TestService, run: RunId) -> i64 {
    let claims = "SELECT fencing FROM salla_sync.sync_runs WHERE id = $1";
    let claims = sqlx::query_scalar(claims)
        .bind(run.0)
        .fetch_one(service.database.pool());
    claims.await.expect("claims can be counted")
}

/// Invokes the function with what is on the queue, with this deadline, until the run is complete,
/// and compares the rows with the truth. Returns how many invocations ended in time, and how many
/// did not: on a busy machine a function is sometimes too late.
async fn work_off(
    service: &TestService,
    cloud: &Cloud,
    sandbox: &mut Sandbox,
    run: RunId,
    time: Duration,
) -> (u32, u32) {
    let queue = names(QueueName::HistoricalSync).queue;
    let (clock, mut in_time, mut late) = (SystemClock::real(), 0, 0);
    while found(service, run).await.state != RunState::Completed {
        assert!(in_time + late < 100, "it does not end");
        // No faster than the functions' own time: a message that waits for a lease would be
        // handed over too early, again and again.
        cloud.go_on();
        let Some((event, handle)) = hand_over(&cloud.aws, &queue, VISIBILITY).await else {
            clock.sleep(Duration::from_millis(50)).await;
            continue;
        };
        match sandbox.invoke(event, time).await {
            Ended::Answered(answer) => {
                assert_eq!(answer, json!({"batchItemFailures": []}));
                delete(&cloud.aws, &queue, &handle).await;
                in_time += 1;
            }
            Ended::Refused(error) => panic!("{error}"),
            Ended::TimedOut => {
                *sandbox = Sandbox::start(service, cloud).await;
                late += 1;
            }
        }
    }
    let run = found(service, run).await;
    let certificate = run.certificate.as_ref().expect("there is a certificate");
    service.compare(run.merchant, certificate).await;
    (in_time, late)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_in_mid_page_finds_its_run_taken() {
    let (service, cloud, run) = long_import().await;
    let mut one = Sandbox::start(&service, &cloud).await;
    let mut other = Sandbox::start(&service, &cloud).await;
    let (event, _) = first_message(&cloud, &mut one).await;
    let of_first = event.clone();
    // Long enough for another to look at the message, on a busy machine too.
    let time = Duration::from_secs(16);
    let working = one.begin(event, time).await;
    let clock = SystemClock::real();
    while claims(&service, run.id).await == 0 {
        clock.sleep(Duration::from_millis(20)).await;
    }
    // Its worker lives and has not extended it, as when the way to SQS is cut.
    cloud.set_ahead(i64::from(VISIBILITY) + 600);
    let queue = names(QueueName::HistoricalSync).queue;
    let again = hand_over(&cloud.aws, &queue, VISIBILITY).await;
    let (again, handle) = again.expect("its visibility has run out");
    let ended = other.invoke(again, Duration::from_secs(4)).await;
    assert!(matches!(ended, Ended::Answered(_)), "{ended:?}");
    delete(&cloud.aws, &queue, &handle).await;
    assert_eq!(claims(&service, run.id).await, 1);
    assert!(found(&service, run.id).await.state == RunState::InProgress);
    let ended = working.await.expect("it ends");
    assert!(matches!(ended, Ended::Answered(_)), "{ended:?}");
    send_again(&cloud, &of_first).await;
    work_off(&service, &cloud, &mut one, run.id, time).await;
}

/// What a cold start adds to connecting. Processor time, because others use this machine too.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_takes_a_tenth_of_a_second_of_the_processor() {
    let most = match sandbox::is_as_deployed() {
        true => Duration::from_millis(100),
        // The tests' own is not optimized, and some of its time others have taken.
        false => Duration::from_millis(500),
    };
    let service = present_day(small(10)).await;
    let cloud = Cloud::start().await;
    let mut starts = Vec::new();
    for _ in 0..5 {
        let mut sandbox = Sandbox::start(&service, &cloud).await;
        let (took, processor) = sandbox.ready().await;
        eprintln!("ready after {took:?}, of which the processor worked {processor:?}");
        starts.push(processor);
    }
    starts.sort();
    assert!(starts[2] <= most, "{starts:?}");
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

    // A message that is not a job is a dead letter immediately.
    let queue = names(QueueName::HistoricalSync).queue;
    aws::sqs::testing::send_raw(&cloud.aws, &queue, "no job").await;
    let (event, _) = hand_over(&cloud.aws, &queue, VISIBILITY).await.unwrap();
    // A message from another application's queue is reported, and stays there.
    let mut strange = event.clone();
    strange["Records"][0]["eventSourceARN"] = "arn:aws:sqs:eu-central-1:1:jobs".into();
    let Ended::Answered(answer) = sandbox.invoke(strange, time).await else {
        panic!("it is answered");
    };
    let id = &event["Records"][0]["messageId"];
    assert_eq!(
        answer,
        json!({"batchItemFailures": [{"itemIdentifier": id}]})
    );
    let Ended::Answered(answer) = sandbox.invoke(event, time).await else {
        panic!("it is answered");
    };
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let name = QueueName::HistoricalSync;
    let settings = importer::ports::queue::QueueSettings::of(name);
    let clock = std::sync::Arc::new(SystemClock::real());
    let opened = aws::sqs::SqsQueue::open(&cloud.aws, super::PREFIX, name, settings, clock).await;
    let depth = opened.unwrap().depth().await.unwrap();
    assert_eq!((depth.dead, depth.ready, depth.in_flight), (1, 0, 0));
}

/// From now on it is written down when a run is claimed that another worker still holds.
async fn watch_claims(service: &TestService) {
    for statement in [
        "CREATE TABLE salla_sync.taken_from_another (fencing bigint)",
        "CREATE FUNCTION salla_sync.note_taken() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO salla_sync.taken_from_another VALUES (NEW.fencing); RETURN NEW; END $$",
        "CREATE TRIGGER note_taken BEFORE UPDATE ON salla_sync.sync_runs FOR EACH ROW
         WHEN (NEW.fencing > OLD.fencing AND OLD.state = 'IN_PROGRESS' AND OLD.lease_until > now())
         EXECUTE FUNCTION salla_sync.note_taken()",
    ] {
        let made = sqlx::query(statement).execute(service.database.pool());
        made.await.expect("claims are watched");
    }
}

async fn taken_from_another(service: &TestService) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM salla_sync.taken_from_another")
        .fetch_one(service.database.pool());
    count.await.expect("claims can be counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_two_have_at_once_is_worked_on_by_one_of_them() {
    let (service, cloud, run) = long_import().await;
    watch_claims(&service).await;
    let mut one = Sandbox::start(&service, &cloud).await;
    let mut other = Sandbox::start(&service, &cloud).await;
    let (event, handle) = first_message(&cloud, &mut one).await;
    let time = Duration::from_secs(6);
    let mut killed = 0;
    // On a busy machine both may be too late to begin.
    while claims(&service, run.id).await == 0 {
        let (first, second) = tokio::join!(
            one.invoke(event.clone(), time),
            other.invoke(event.clone(), time)
        );
        for (ended, sandbox) in [(first, &mut one), (second, &mut other)] {
            match ended {
                Ended::Answered(_) => {}
                Ended::TimedOut => {
                    *sandbox = Sandbox::start(&service, &cloud).await;
                    killed += 1;
                }
                Ended::Refused(error) => panic!("{error}"),
            }
        }
    }
    // What a killed one held is free; all else has to be given back first.
    let taken = taken_from_another(&service).await;
    assert!(taken <= killed, "{taken} of {killed}");
    let queue = names(QueueName::HistoricalSync).queue;
    delete(&cloud.aws, &queue, &handle).await;
    send_again(&cloud, &event).await;
    work_off(&service, &cloud, &mut one, run.id, time).await;
}

/// What comes before the first page is done again in each turn, and it fits.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_comes_to_its_end_with_deadlines_of_two_seconds() {
    let (service, cloud, run) = long_import().await;
    let mut one = Sandbox::start(&service, &cloud).await;
    let swept = one.invoke(scheduled(), Duration::from_secs(20)).await;
    assert!(matches!(swept, Ended::Answered(_)), "{swept:?}");
    let time = Duration::from_secs(2);
    let (in_time, late) = work_off(&service, &cloud, &mut one, run.id, time).await;
    eprintln!("{in_time} in time, {late} late");
    assert!(in_time > 2, "it was passed on");
}
