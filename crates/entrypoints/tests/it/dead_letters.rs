//! Dead letters, put back by hand.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use domain::failure::{Disconnection, Failure};
use domain::job::NotificationKind;
use domain::run::{RunCommand, RunState};
use importer::ports::jobs::Jobs as _;
use importer::ports::queue::{DeadLetters as _, Disposition, Queue as _, QueueName};
use importer::ports::runs::{Claim, Owner, Run, Runs as _};

use crate::jobs::BackgroundService;
use crate::process;
use crate::truth::small;

/// The program asks the machine's clock, so the shop lives today.
async fn background() -> BackgroundService {
    BackgroundService::open(small(60).moved_to(salla_simulator::present())).await
}

/// A job whose worker has found `failure` and given it up.
async fn dead_lettered(background: &BackgroundService, failure: &Failure) -> Run {
    let run = background.start().await;
    let queue = background.queue(QueueName::HistoricalSync);
    let hour = Duration::from_secs(3_600);
    let taken = queue.receive(1, hour, Duration::ZERO).await;
    let receipt = taken.unwrap().remove(0).receipt;
    let runs = background.service.open.database.runs();
    let Claim::Granted(lease, _) = runs
        .claim(run.id, &Owner::named("a worker"), hour)
        .await
        .unwrap()
    else {
        panic!("no other worker wants the run");
    };
    runs.fail(lease, failure, None).await.unwrap();
    let why = "the run FAILED".to_owned();
    let dead_lettered = queue
        .settle(&receipt, Disposition::DeadLetter { reason: why })
        .await;
    dead_lettered.unwrap();
    background.run(&run).await
}

/// How many messages are on their way, and how many are dead letters.
async fn messages(background: &BackgroundService) -> (u64, u64) {
    let depth = background.queue(QueueName::HistoricalSync).depth().await;
    let depth = depth.unwrap();
    (depth.ready + depth.delayed + depth.in_flight, depth.dead)
}

/// Standard output, standard error and whether it went well.
async fn redrive(background: &BackgroundService) -> (String, String, bool) {
    let command = process::program(&background.service, &["queue", "redrive", "--all"]);
    let output = process::run(command).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let success = output.status.success();
    (text(&output.stdout), text(&output.stderr), success)
}

fn broken() -> Failure {
    Failure::Broken {
        message: "test".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_run_has_one_message_and_no_letter_and_is_completed() {
    let background = background().await;
    let run = dead_lettered(&background, &broken()).await;
    assert_eq!(messages(&background).await, (0, 1));
    let (told, _, success) = redrive(&background).await;
    assert!(success && told.starts_with("1 messages"), "{told}");
    assert_eq!(messages(&background).await, (1, 0));
    background.work_until_empty().await;
    background.compare(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_letter_of_a_run_that_was_cancelled_stays_and_says_so() {
    let background = background().await;
    let run = dead_lettered(&background, &broken()).await;
    let jobs = background.service.open.database.jobs();
    jobs.command(run.id, RunCommand::Cancel).await.unwrap();
    let (_, told, success) = redrive(&background).await;
    assert!(!success);
    let advice = format!("`salla-sync runs restart {}`", run.id);
    assert!(told.contains(&advice), "{told}");
    assert_eq!(messages(&background).await, (0, 1));
    assert_eq!(background.run(&run).await.state, RunState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_letter_of_a_run_that_another_has_replaced_stays_and_says_so() {
    let background = background().await;
    let run = dead_lettered(&background, &broken()).await;
    sqlx::query("UPDATE salla_sync.sync_runs SET superseded_at = now()")
        .execute(background.service.open.database.pool())
        .await
        .unwrap();
    let (_, told, success) = redrive(&background).await;
    assert!(
        !success && told.contains("another import of this shop"),
        "{told}"
    );
    assert_eq!(messages(&background).await, (0, 1));
    assert_eq!(background.run(&run).await.state, RunState::Failed);
    let letters = background.queue(QueueName::HistoricalSync);
    let letter = letters.list(None, 1).await.unwrap().remove(0);
    assert!(told.contains(&format!("queue discard {}", letter.id)));
}

/// A merchant cannot fix what the app or this machine may not do.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_an_operator_can_fix_is_not_reported_as_a_lost_connection() {
    let background = background().await;
    let run = dead_lettered(&background, &Disconnection::Forbidden.into()).await;
    assert_eq!(
        background.notifications().await,
        [NotificationKind::SyncFailed]
    );
    let advice = run.failure.expect("it is kept").advice;
    assert!(advice.contains("`salla-sync runs restart RUN`"), "{advice}");
}
