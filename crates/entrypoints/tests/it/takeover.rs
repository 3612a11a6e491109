//! A run that another process holds, living or dead, here or elsewhere.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use salla_simulator::{AppAge, Scenario};
use tokio::time::Instant;

use crate::process::{finish_and_compare, present_day, program, run, within};
use crate::service::TestService;
use crate::truth::small;

/// Its import lasts long enough to be caught in the middle.
fn shop() -> Scenario {
    let mut scenario = small(300);
    scenario.latency.fixed_ms = 60;
    scenario
}

fn signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("process ids are small");
    // SAFETY: kill(2) has no memory effects; the process is our own child.
    let sent = unsafe { libc::kill(pid, signal) };
    assert_eq!(sent, 0, "the process is there");
}

/// A program and what it says on standard error.
struct Talking {
    child: Child,
    said: String,
    errors: BufReader<std::process::ChildStderr>,
}

impl Talking {
    fn start(service: &TestService, arguments: &[&str]) -> Self {
        let mut child = program(service, arguments).spawn().expect("it starts");
        let errors = child.stderr.take().expect("it is piped");
        Self {
            child,
            said: String::new(),
            errors: BufReader::new(errors),
        }
    }

    fn until_it_says(&mut self, words: &str) {
        while !self.said.contains(words) {
            let read = self.errors.read_line(&mut self.said).expect("it is text");
            assert_ne!(read, 0, "it never said {words:?}: {}", self.said);
        }
    }

    async fn end(mut self) -> (ExitStatus, String) {
        let ended = tokio::task::spawn_blocking(move || {
            let mut out = self.child.stdout.take().expect("it is piped");
            let reader = std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
            let read = self.errors.read_to_string(&mut self.said);
            read.expect("it is text");
            reader.join().expect("it is read").expect("it is read");
            (self.child.wait().expect("it ends"), self.said)
        });
        ended.await.expect("the wait is not cancelled")
    }
}

/// An import in the middle of its work.
async fn importing(service: &TestService) -> Child {
    let child = program(service, &["import"]).spawn().expect("it starts");
    let began = service.simulator.ledger().requests;
    service.simulator.until_requests(began + 10).await;
    child
}

async fn execute(service: &TestService, sql: &str) {
    let query = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
    let done = query.execute(service.open.database.pool()).await;
    done.expect("runs can be changed");
}

/// An import that was killed, as it looks to a process on another machine.
async fn killed_elsewhere(service: &TestService, lease: &str) {
    let mut dead = importing(service).await;
    dead.kill().expect("it can be killed");
    dead.wait().expect("it ends");
    execute(
        service,
        &format!(
            "UPDATE salla_sync.sync_runs SET lease_host = 'elsewhere', lease_owner = 'process 7 on \
             elsewhere', lease_until = now() + interval '{lease}'"
        ),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_killed_process_goes_on_at_once_with_every_command() {
    for arguments in [
        &["import"][..],
        &["import", "--no-wait"],
        &["import", "--again", "--json"],
        &["resync", "--resource", "categories"],
    ] {
        let service = present_day(shop()).await;
        let mut dead = importing(&service).await;
        dead.kill().expect("it can be killed");
        dead.wait().expect("it ends");
        let output = run(program(&service, arguments)).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(!said.contains("Waiting"), "{arguments:?}: {said}");
        finish_and_compare(&service).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_another_machine_is_waited_for() {
    let service = present_day(shop()).await;
    killed_elsewhere(&service, "4 seconds").await;
    let waiting = Instant::now();
    let output = run(program(&service, &["import"])).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(waiting.elapsed() > Duration::from_secs(3), "{said}");
    let told = "Another process (process 7 on elsewhere) is importing this shop. Waiting";
    assert!(said.contains(told) && said.contains(" s at most"), "{said}");
    finish_and_compare(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_exit_code_4_where_the_lease_was_extended() {
    let service = present_day(shop()).await;
    killed_elsewhere(&service, "4 seconds").await;
    let mut second = Talking::start(&service, &["import"]);
    second.until_it_says("Waiting");
    let lives = "UPDATE salla_sync.sync_runs SET lease_until = now() + interval '1 hour'";
    execute(&service, lives).await;
    let (status, said) = second.end().await;
    assert_eq!(status.code(), Some(4), "{said}");
    let told = "Another process (process 7 on elsewhere) is importing this shop";
    assert!(said.contains(told), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_can_be_interrupted() {
    let service = present_day(shop()).await;
    killed_elsewhere(&service, "1 hour").await;
    for stop in [libc::SIGINT, libc::SIGTERM] {
        within(Duration::from_secs(2), async || {
            let mut second = Talking::start(&service, &["import"]);
            second.until_it_says("Waiting");
            let told = Instant::now();
            signal(&second.child, stop);
            let (status, said) = second.end().await;
            assert_eq!(status.code(), Some(3), "{said}");
            told.elapsed()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_when_the_other_process_stops() {
    // Salla's limits make it last for minutes.
    let mut scenario = small(2_000);
    scenario.app_age = AppAge::FullDetails;
    for stop in [libc::SIGINT, libc::SIGKILL] {
        let service = present_day(scenario.clone()).await;
        let mut first = importing(&service).await;
        let mut second = Talking::start(&service, &["import"]);
        second.until_it_says("Waiting");
        signal(&first, stop);
        first.wait().expect("it ends");
        second.until_it_says("Resuming run");
        signal(&second.child, libc::SIGINT);
        let (status, said) = second.end().await;
        assert_eq!(status.code(), Some(3), "{said}");
    }
}

/// What was asked for is done although another import was waited for first.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_read_after_the_import_that_was_waited_for() {
    let service = present_day(shop()).await;
    let mut first = importing(&service).await;
    signal(&first, libc::SIGSTOP);
    let mut second = Talking::start(&service, &["resync", "--resource", "products"]);
    second.until_it_says("Waiting");
    signal(&first, libc::SIGCONT);
    let (status, said) = second.end().await;
    assert!(status.success(), "{said}");
    assert!(first.wait().expect("it ends").success());
    let sql = "SELECT count(*) FROM salla_sync.sync_runs
               WHERE state = 'COMPLETED' AND only_resource = 'products'";
    let parts: i64 = sqlx::query_scalar(sql)
        .fetch_one(service.open.database.pool())
        .await
        .expect("runs can be counted");
    assert_eq!(parts, 1, "{said}");
}
