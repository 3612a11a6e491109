//! Workers as processes: killed, stopped, doubled, cut off from the database. In every case the run
//! is completed once, its end is notified once, and no message stays.

use std::process::Child;
use std::time::Duration;

use database::testing::TestDatabase;
use domain::job::HistoricalSync;
use domain::run::RunState;
use entrypoints::truth_check;
use importer::ports::queue::QueueName;
use importer::ports::runs::Run;
use importer::testing::clock::a_moment;
use salla_simulator::{AppAge, Plan as ShopPlan, Scenario, ShopSpec};

use crate::checks;
use crate::draw::SeededChoices;
use crate::program::{Running, ended, in_a_transaction, signal};
use crate::server::OwnServer;
use crate::service::{DatabaseServer, Service};
use crate::support;

const PATIENCE: Duration = Duration::from_secs(120);

fn shop(seed: u64, app_age: AppAge) -> Scenario {
    let mut scenario = Scenario {
        seed,
        app_age,
        shop: ShopSpec {
            orders: 240,
            customers: 60,
            products: 40,
            categories: 8,
            months: 14,
            plan: ShopPlan::Unlimited,
            seed,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    };
    scenario.latency.fixed_ms = 5;
    // The program asks the machine's clock what today is.
    scenario.moved_to(salla_simulator::present())
}

/// A shop whose import was started and whose workers are processes.
struct WorkerFixture {
    service: Service,
    run: Run,
}

impl WorkerFixture {
    async fn open(scenario: Scenario, place: DatabaseServer) -> Self {
        let service = Service::of(scenario, place).await;
        let run = service.start_as_a_job().await;
        Self { service, run }
    }

    async fn on_a_shared_server(scenario: Scenario) -> Self {
        Self::open(
            scenario,
            DatabaseServer::Shared(TestDatabase::create().await),
        )
        .await
    }

    fn worker(&self) -> Running {
        let url = self.service.place.url();
        let mut command = support::program(&self.service.simulator, &url, &["work"]);
        // They work with what is stored.
        command
            .env_remove("SALLA_ACCESS_TOKEN")
            .env_remove("SALLA_REFRESH_TOKEN");
        let child: Child = command.spawn().unwrap();
        Running(child)
    }

    async fn state(&self) -> RunState {
        let state: String =
            sqlx::query_scalar("SELECT state FROM salla_sync.sync_runs WHERE id = $1")
                .bind(self.run.id.0)
                .fetch_one(self.service.place.pool())
                .await
                .unwrap();
        RunState::parse(&state).unwrap()
    }

    async fn messages(&self, queue: QueueName) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM salla_sync.queue_messages WHERE queue = $1")
            .bind(queue.as_str())
            .fetch_one(self.service.place.pool())
            .await
            .unwrap()
    }

    /// The leases of the dead run out, without waiting for it: that of the run, and that
    /// of its message.
    async fn let_leases_run_out(&self) {
        self.service.expire_leases().await;
        sqlx::query("UPDATE salla_sync.queue_messages SET visible_at = now()")
            .execute(self.service.place.pool())
            .await
            .unwrap();
    }

    /// Waits until everything is done, and holds it against the truth.
    async fn finish(&self) {
        let done = async {
            while self.state().await != RunState::Completed
                || self.messages(QueueName::HistoricalSync).await > 0
                || self.messages(QueueName::Notifications).await > 0
            {
                // A message may wait behind a lease whose holder is gone.
                sqlx::query(
                    "UPDATE salla_sync.queue_messages SET visible_at = now() WHERE receipt IS NULL",
                )
                .execute(self.service.place.pool())
                .await
                .unwrap();
                a_moment().await;
            }
        };
        tokio::time::timeout(PATIENCE, done)
            .await
            .expect("the run is completed and no message stays");
        self.judge().await;
    }

    async fn judge(&self) {
        let pool = self.service.place.pool();
        let (merchant, certificate) = self.service.certificate().await.unwrap();
        let truth = self.service.simulator.shop();
        let differences = truth_check::differences(pool, merchant, &certificate, &truth)
            .await
            .unwrap();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        assert_eq!(self.service.simulator.ledger().refresh_reuses, 0);
        let told: Vec<String> = sqlx::query_scalar("SELECT kind FROM salla_sync.notifications")
            .fetch_all(pool)
            .await
            .unwrap();
        assert_eq!(told, ["SYNC_COMPLETE"], "its end is notified once");
        let dead: i64 = sqlx::query_scalar("SELECT count(*) FROM salla_sync.dead_letters")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(dead, 0);
    }

    async fn requests(&self, more: u64) {
        crate::case::requests_arrived(&self.service, more).await;
    }
}

/// Fifty moments in five shops of all kinds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_anywhere_lose_and_double_nothing() {
    for (seed, app_age) in [
        (1, AppAge::Expanded),
        (2, AppAge::FullDetails),
        (3, AppAge::LightDetails),
        (4, AppAge::FullDetails),
        (5, AppAge::LightDetails),
    ] {
        let fixture = WorkerFixture::on_a_shared_server(shop(seed, app_age)).await;
        let mut draw = SeededChoices::of(seed);
        let mut moments = Vec::new();
        for _ in 0..10 {
            // Most of them early: what is done is not done again.
            let more = 1 + draw.mostly_small(60);
            moments.push(more);
            let mut worker = fixture.worker();
            tokio::select! {
                () = fixture.requests(more) => {}
                () = idle(&fixture) => {}
            }
            // Dying while it is being killed is as good.
            drop(worker.0.kill());
            ended(&mut worker).await;
            fixture.let_leases_run_out().await;
        }
        eprintln!("seed {seed}: killed after {moments:?} requests");
        let _worker = fixture.worker();
        fixture.finish().await;
    }
}

/// Returns when there is nothing left to kill a worker in the middle of.
async fn idle(fixture: &WorkerFixture) {
    while fixture.state().await != RunState::Completed {
        a_moment().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_for_two_workers_is_one_import() {
    let fixture = WorkerFixture::on_a_shared_server(shop(11, AppAge::FullDetails)).await;
    fixture.service.send(&sync_message(&fixture.run)).await;
    let _workers = [fixture.worker(), fixture.worker()];
    fixture.finish().await;
    let claims: i64 = sqlx::query_scalar("SELECT fencing FROM salla_sync.sync_runs")
        .fetch_one(fixture.service.place.pool())
        .await
        .unwrap();
    assert_eq!(claims, 1, "one worker did it");
}

fn sync_message(run: &Run) -> String {
    let job = HistoricalSync {
        merchant: run.merchant,
        run: Some(run.id),
        months: 12,
    };
    job.to_json().unwrap()
}

/// The worker dies, and its message comes to another one while its lease still runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivery_during_the_lease_of_a_dead_worker_elsewhere_waits_for_its_end() {
    let fixture = WorkerFixture::on_a_shared_server(shop(12, AppAge::FullDetails)).await;
    let mut dead = fixture.worker();
    fixture.requests(40).await;
    drop(dead.0.kill());
    ended(&mut dead).await;
    let pool = fixture.service.place.pool();
    for sql in [
        // It cannot be seen here that it is gone.
        "UPDATE salla_sync.sync_runs SET lease_host = 'elsewhere'",
        "UPDATE salla_sync.queue_messages SET visible_at = now()",
    ] {
        sqlx::query(sql).execute(pool).await.unwrap();
    }
    let _worker = fixture.worker();
    let snoozed = async {
        let sql = "SELECT count(*) FROM salla_sync.queue_messages
                   WHERE receipt IS NULL AND visible_at > now() + interval '10 seconds'";
        while sqlx::query_scalar::<_, i64>(sql)
            .fetch_one(pool)
            .await
            .unwrap()
            == 0
        {
            a_moment().await;
        }
    };
    tokio::time::timeout(PATIENCE, snoozed)
        .await
        .expect("the message is snoozed past the lease");
    assert_eq!(fixture.state().await, RunState::InProgress);
    fixture.let_leases_run_out().await;
    fixture.finish().await;
}

/// Stopped, at best in the middle of a transaction, while another worker ends its run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_up_after_its_run_was_ended_writes_nothing() {
    for (seed, after) in [(21, 8), (22, 25), (23, 60)] {
        let fixture = WorkerFixture::on_a_shared_server(shop(seed, AppAge::FullDetails)).await;
        let mut zombie = fixture.worker();
        fixture.requests(after).await;
        in_a_transaction(&fixture.service).await;
        signal(&zombie, libc::SIGSTOP);
        fixture.let_leases_run_out().await;
        let mut other = fixture.worker();
        fixture.finish().await;
        signal(&other, libc::SIGTERM);
        ended(&mut other).await;
        let before = checks::fingerprint(&fixture.service).await;
        signal(&zombie, libc::SIGCONT);
        signal(&zombie, libc::SIGTERM);
        assert_eq!(ended(&mut zombie).await, Some(0), "it stops in peace");
        let after = checks::fingerprint(&fixture.service).await;
        assert_eq!(before, after, "seed {seed}");
        fixture.judge().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_outlives_a_restart_of_postgresql() {
    for (seed, immediately) in [(31, false), (32, true)] {
        let place = DatabaseServer::Own(Box::new(OwnServer::start(60).await));
        let fixture = WorkerFixture::open(shop(seed, AppAge::FullDetails), place).await;
        let DatabaseServer::Own(server) = &fixture.service.place else {
            unreachable!("the place is its own")
        };
        let mut worker = fixture.worker();
        fixture.requests(40).await;
        server.restart(immediately).await;
        fixture.finish().await;
        assert!(worker.0.try_wait().unwrap().is_none(), "it is still there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_worker_gives_its_run_back_within_ten_seconds() {
    let mut scenario = shop(41, AppAge::FullDetails);
    scenario.latency.fixed_ms = 300;
    let fixture = WorkerFixture::on_a_shared_server(scenario).await;
    let mut worker = fixture.worker();
    fixture.requests(20).await;
    signal(&worker, libc::SIGTERM);
    let code = tokio::time::timeout(Duration::from_secs(10), ended(&mut worker)).await;
    assert_eq!(code, Ok(Some(0)));
    assert_eq!(fixture.state().await, RunState::Pending);
    let ready: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM salla_sync.queue_messages
         WHERE visible_at <= now() AND receipt IS NULL",
    )
    .fetch_one(fixture.service.place.pool())
    .await
    .unwrap();
    assert_eq!(ready, 1, "any worker may take it immediately");
    let _next = fixture.worker();
    fixture.finish().await;
}

/// What `migrate` of a later version does to tables in use.
const UPGRADE: [&str; 4] = [
    "ALTER TABLE salla_sync.sync_runs ADD COLUMN of_a_later_version text",
    "ALTER TABLE salla_sync.queue_messages ADD COLUMN of_a_later_version text",
    "ALTER TABLE salla.orders ADD COLUMN of_a_later_version text",
    "INSERT INTO salla_sync._sqlx_migrations
     SELECT 9999, 'later', now(), true, checksum, 0 FROM salla_sync._sqlx_migrations LIMIT 1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_import_outlives_an_upgrade_and_an_old_worker_does_not_begin_after_it() {
    let fixture = WorkerFixture::on_a_shared_server(shop(51, AppAge::FullDetails)).await;
    let _worker = fixture.worker();
    fixture.requests(60).await;
    for sql in UPGRADE {
        sqlx::query(sql)
            .execute(fixture.service.place.pool())
            .await
            .unwrap();
    }
    assert_eq!(fixture.state().await, RunState::InProgress);
    fixture.finish().await;

    let url = fixture.service.place.url();
    let mut command = support::program(&fixture.service.simulator, &url, &["work"]);
    command.stderr(std::process::Stdio::piped());
    let late = tokio::task::spawn_blocking(move || command.output());
    let late = late.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&late.stderr);
    assert_eq!(late.status.code(), Some(2), "{said}");
    assert!(said.contains("a newer version of salla-sync"), "{said}");
}
