//! Imports in the background: started, steered, lost, found again.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Mutex;
use std::time::Duration;

use database::PostgresQueue;
use domain::job::{HistoricalSync, NotificationJob, NotificationKind};
use domain::run::{RunCommand, RunState};
use domain::shop::MerchantId;
use domain::window::DayRange;
use entrypoints::config::Channels;
use entrypoints::wiring;
use entrypoints::wiring::service::{Service, ServiceSettings};
use importer::duties::repeat;
use importer::import::ImportSettings;
use importer::ports::jobs::{CommandOutcome, Jobs as _};
use importer::ports::queue::{DeadLetters as _, Queue as _, QueueName};
use importer::ports::runs::{Owner, Run};
use importer::stop::stop_pair;
use importer::testing::clock::a_moment;
use salla_simulator::{Fault, OutageLength};

use crate::service::TestService;
use crate::truth::small;

/// Beyond this a test has gone wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct BackgroundService {
    pub(crate) service: TestService,
    pub(crate) merchant: MerchantId,
}

impl BackgroundService {
    pub(crate) async fn open(scenario: salla_simulator::Scenario) -> Self {
        let service = TestService::start(scenario).await;
        let connected =
            wiring::connect_and_store(&service.open, &service.salla(), service.clock.clone())
                .await
                .expect("the shop connects");
        Self {
            service,
            merchant: connected.merchant,
        }
    }

    pub(crate) fn queue(&self, name: QueueName) -> PostgresQueue {
        self.service.open.database.queue(name)
    }

    pub(crate) async fn start(&self) -> Run {
        let options = &self.service.options;
        let today = domain::instant::riyadh_date(self.service.clock.now());
        let range = DayRange::last_months(today, options.months);
        let jobs = self.service.open.database.jobs();
        jobs.start(self.merchant, options, range).await.unwrap().run
    }

    pub(crate) async fn run(&self, run: &Run) -> Run {
        let jobs = self.service.open.database.jobs();
        jobs.find(run.id).await.unwrap().expect("the run exists")
    }

    pub(crate) fn worker(&self, channels: Channels) -> Service {
        let settings = ServiceSettings {
            keep_fresh: None,
            retention: None,
            salla: self.service.salla().app,
            jobs: 4,
            import: ImportSettings {
                owner: Owner::named("a worker of the test"),
                lease: Duration::from_secs(10),
                ..self.service.settings.clone()
            },
            channels,
        };
        Service::new(&self.service.open, settings, self.service.clock.clone()).unwrap()
    }

    /// A worker works until `enough`, then stops.
    pub(crate) async fn work_until<F>(&self, enough: impl Fn() -> F)
    where
        F: Future<Output = bool>,
    {
        let worker = self.worker(Channels::default());
        let (handle, stop) = stop_pair();
        let watch = async {
            while !enough().await {
                a_moment().await;
            }
            handle.stop();
        };
        // Notifications are left for the test to look at.
        let sweeping = repeat(&*worker.sweep, self.service.clock.as_ref(), &stop);
        let work = async { tokio::join!(worker.worker.run(&stop), sweeping) };
        let both = async { tokio::join!(work, watch) };
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("the worker does what it should, and stops");
    }

    pub(crate) async fn work_until_empty(&self) {
        self.work_until(|| async {
            let depth = self.queue(QueueName::HistoricalSync).depth().await.unwrap();
            depth.ready + depth.delayed + depth.in_flight == 0
        })
        .await;
    }

    /// What was to be notified; takes it from the queue.
    pub(crate) async fn notifications(&self) -> Vec<NotificationKind> {
        let queue = self.queue(QueueName::Notifications);
        let taken = queue
            .receive(100, Duration::from_secs(3_600), Duration::ZERO)
            .await
            .unwrap();
        let kinds = taken.iter().map(|delivery| {
            let job = NotificationJob::parse(&delivery.body).expect("it can be read");
            assert_eq!(job.merchant, self.merchant);
            job.kind
        });
        kinds.collect()
    }

    pub(crate) async fn compare(&self, run: &Run) {
        let run = self.run(run).await;
        assert_eq!(run.state, RunState::Completed, "{:?}", run.failure);
        let certificate = run.certificate.expect("a certificate is stored");
        self.service.compare(self.merchant, &certificate).await;
    }

    async fn send(&self, body: &str) {
        let queue = self.queue(QueueName::HistoricalSync);
        queue.send(body, Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_run_is_completed_and_notified_once() {
    let background = BackgroundService::open(small(300)).await;
    let run = background.start().await;
    assert_eq!((run.state, run.is_job), (RunState::Pending, true));
    background.work_until_empty().await;
    background.compare(&run).await;
    assert_eq!(
        background.notifications().await,
        [NotificationKind::SyncComplete]
    );
    let depth = background.queue(QueueName::HistoricalSync).depth().await;
    assert_eq!(depth.unwrap().dead, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_run_starts_one_however_often_it_comes() {
    let background = BackgroundService::open(small(120)).await;
    let job = HistoricalSync {
        merchant: background.merchant,
        run: None,
        months: 12,
    };
    let body = job.to_json().unwrap();
    for _ in 0..3 {
        background.send(&body).await;
    }
    background.work_until_empty().await;
    let runs = background.service.open.runs().list().await.unwrap();
    let run = runs[0].1.clone().expect("there is a run");
    background.compare(&run).await;
    assert_eq!(
        background.notifications().await,
        [NotificationKind::SyncComplete]
    );
    let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM salla_sync.sync_runs")
        .fetch_one(background.service.open.database.pool())
        .await
        .unwrap();
    assert_eq!(count, 1, "all three messages meant the same import");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_make_no_sense_are_dead_lettered_with_the_reason_and_block_nothing() {
    let background = BackgroundService::open(small(60)).await;
    let stranger = format!(
        r#"{{"version":1,"jobType":"HISTORICAL_SYNC","merchantId":"{}","syncDepthMonths":12}}"#,
        uuid::Uuid::nil()
    );
    let no_run = format!(
        r#"{{"version":1,"jobType":"HISTORICAL_SYNC","merchantId":"{}","runId":"{}","syncDepthMonths":12}}"#,
        background.merchant,
        uuid::Uuid::nil()
    );
    for body in ["ory_at_secret", "{}", &stranger, &no_run] {
        background.send(body).await;
    }
    let run = background.start().await;
    background.work_until_empty().await;
    background.compare(&run).await;
    let letters = background.queue(QueueName::HistoricalSync);
    let letters = letters.list(None, 10).await.unwrap();
    let mut reasons: Vec<&str> = letters.iter().map(|l| l.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "there is no such run",
            "unknown merchant",
            "unreadable message: the message is not JSON",
            "unreadable message: version is missing",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_stored_tokens_a_run_fails_at_once_and_goes_on_once_connected() {
    let service = TestService::start(small(60)).await;
    let merchant = service.connect().await.merchant;
    sqlx::query("DELETE FROM salla_sync.connections")
        .execute(service.open.database.pool())
        .await
        .unwrap();
    let background = BackgroundService { service, merchant };
    let run = background.start().await;
    background.work_until_empty().await;
    let failed = background.run(&run).await;
    assert_eq!(failed.state, RunState::Failed);
    assert_eq!(failed.failure.unwrap().code, "not_connected");
    assert_eq!(
        background.notifications().await,
        [NotificationKind::ReconnectNeeded]
    );

    let service = &background.service;
    wiring::connect_and_store(&service.open, &service.salla(), service.clock.clone())
        .await
        .expect("the shop connects");
    background
        .work_until(|| async { background.run(&run).await.state == RunState::Completed })
        .await;
    background.compare(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_writes_nothing_until_it_is_resumed() {
    let mut scenario = small(1_500);
    scenario.latency.fixed_ms = 20;
    let background = BackgroundService::open(scenario).await;
    let run = background.start().await;
    let jobs = background.service.open.database.jobs();
    let paused = Mutex::new(None);
    background
        .work_until(|| async {
            if background.run(&run).await.progress.orders < 200 {
                return false;
            }
            let commanded = jobs.command(run.id, RunCommand::Pause).await.unwrap();
            *paused.lock().unwrap() = Some(commanded);
            true
        })
        .await;
    let Some(CommandOutcome::Applied(paused)) = paused.into_inner().unwrap() else {
        panic!("the run could be paused");
    };
    let left = background.run(&run).await;
    assert_eq!(left.state, RunState::Paused);
    assert_eq!(left.progress, paused.progress, "nothing landed afterwards");

    background.work_until_empty().await;
    let still = background.run(&run).await;
    assert_eq!((still.state, still.progress), (left.state, left.progress));
    assert_eq!(background.notifications().await, []);

    jobs.command(run.id, RunCommand::Resume).await.unwrap();
    background.work_until_empty().await;
    background.compare(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_makes_place_for_another() {
    let background = BackgroundService::open(small(60)).await;
    let run = background.start().await;
    let jobs = background.service.open.database.jobs();
    jobs.command(run.id, RunCommand::Cancel).await.unwrap();
    background.work_until_empty().await;
    assert_eq!(background.run(&run).await.state, RunState::Cancelled);
    let next = background.start().await;
    assert_ne!(next.id, run.id);
    let refused = jobs.command(run.id, RunCommand::Restart).await.unwrap();
    assert!(
        matches!(refused, CommandOutcome::Refused(..)),
        "{refused:?}"
    );
    background.work_until_empty().await;
    background.compare(&next).await;
}

/// No one must act: the run waits and resumes automatically, and earlier attempts do not count
/// against it.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_makes_the_run_wait_and_costs_nothing() {
    let mut scenario = small(300);
    scenario.clock.scale = 60.0;
    let background = BackgroundService::open(scenario).await;
    let lasts = OutageLength::Seconds(1_200);
    background
        .service
        .simulator
        .begin_outage(Fault::Status(503), lasts);
    let run = background.start().await;
    background
        .work_until(|| async { background.run(&run).await.state == RunState::Waiting })
        .await;
    let waiting = background.run(&run).await;
    assert_eq!(waiting.failure.unwrap().code, "transient");
    assert!(waiting.waiting_until.is_some());
    background.work_until_empty().await;
    background.compare(&run).await;
    assert_eq!(
        background.notifications().await,
        [NotificationKind::SyncComplete]
    );
}

/// The worker and the message are gone; the sweep finds the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_is_sent_again() {
    let background = BackgroundService::open(small(60)).await;
    let run = background.start().await;
    for sql in [
        "DELETE FROM salla_sync.queue_messages",
        "UPDATE salla_sync.sync_runs SET sent_at = now() - interval '1 hour'",
    ] {
        sqlx::query(sql)
            .execute(background.service.open.database.pool())
            .await
            .unwrap();
    }
    background
        .work_until(|| async { background.run(&run).await.state == RunState::Completed })
        .await;
    background.compare(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loses_its_workers_again_and_again_is_given_up() {
    let background = BackgroundService::open(small(60)).await;
    let run = background.start().await;
    let sweep = background.worker(Channels::default()).sweep;
    for round in 1..=4 {
        for sql in [
            "DELETE FROM salla_sync.queue_messages WHERE queue = 'historical-sync'",
            "UPDATE salla_sync.sync_runs SET state = 'IN_PROGRESS',
                sent_at = now() - interval '1 hour', lease_until = now() - interval '1 hour'",
        ] {
            sqlx::query(sql)
                .execute(background.service.open.database.pool())
                .await
                .unwrap();
        }
        let swept = sweep.sweep_once().await.unwrap();
        assert_eq!(swept.given_up.len(), usize::from(round == 4), "{swept:?}");
    }
    let failed = background.run(&run).await;
    assert_eq!(failed.failure.unwrap().code, "broken");
    background.work_until_empty().await;
    assert_eq!(
        background.notifications().await,
        [NotificationKind::SyncFailed]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_gets_nowhere_is_reported_once() {
    let background = BackgroundService::open(small(60)).await;
    let run = background.start().await;
    let runs = background.service.open.runs();
    runs.claim(
        run.id,
        &Owner::named("a hanging worker"),
        Duration::from_secs(3_600),
    )
    .await
    .unwrap();
    let sweep = background.worker(Channels::default()).sweep;
    assert!(sweep.sweep_once().await.unwrap().stalled.is_empty());
    sqlx::query("UPDATE salla_sync.sync_runs SET progressed_at = now() - interval '20 minutes'")
        .execute(background.service.open.database.pool())
        .await
        .unwrap();
    let stalled = sweep.sweep_once().await.unwrap().stalled;
    assert_eq!(stalled.len(), 1);
    assert_eq!(stalled[0].owner, "a hanging worker");
    assert!(sweep.sweep_once().await.unwrap().stalled.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_the_run_and_its_message_back() {
    let mut scenario = small(1_500);
    scenario.latency.fixed_ms = 20;
    let background = BackgroundService::open(scenario).await;
    let run = background.start().await;
    background
        .work_until(|| async { background.run(&run).await.progress.orders > 100 })
        .await;
    let stopped = background.run(&run).await;
    assert_eq!((stopped.state, &stopped.holder), (RunState::Pending, &None));
    let queue = background.queue(QueueName::HistoricalSync);
    let given_back = queue.depth().await.unwrap();
    assert_eq!((given_back.ready, given_back.in_flight), (1, 0));
    background.work_until_empty().await;
    background.compare(&run).await;
}
