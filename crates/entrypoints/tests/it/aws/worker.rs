//! `salla-sync work` and `salla-sync queue` with queues on SQS.

use std::process::Command;

use importer::ports::queue::QueueName;

use super::{Cloud, names};
use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::truth::small;

fn on_sqs(service: &TestService, cloud: &Cloud, arguments: &[&str]) -> Command {
    let mut command = program(service, arguments);
    cloud.env(&mut command);
    command
}

async fn said(command: Command) -> (bool, String) {
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_imports_what_was_started_and_sets_aside_what_is_no_job() {
    let service = present_day(small(120)).await;
    let cloud = Cloud::start().await;
    let (is_done, connected) = said(on_sqs(&service, &cloud, &["connect", "--json"])).await;
    assert!(is_done, "{connected}");
    let connected: serde_json::Value = serde_json::from_str(&connected).expect("it is JSON");
    let shop = connected["salla_id"].to_string();
    let start = on_sqs(&service, &cloud, &["runs", "start", "--shop", &shop]);
    let (is_done, started) = said(start).await;
    assert!(is_done, "{started}");
    let queue = names(QueueName::HistoricalSync).queue;
    let unknown = r#"{"version":1,"jobType":"HISTORICAL_SYNC","syncDepthMonths":12,
        "merchantId":"018f3c1e-0000-7000-8000-000000000001"}"#;
    for body in ["no job", unknown] {
        aws::sqs::testing::send_raw(&cloud.aws, &queue, body).await;
    }
    let mut worker = on_sqs(&service, &cloud, &["--log", "info", "work"])
        .spawn()
        .expect("it starts");
    let list = async || {
        let listed = on_sqs(&service, &cloud, &["queue", "dead", "--json"]);
        let (is_done, said) = said(listed).await;
        assert!(is_done, "{said}");
        serde_json::from_str::<serde_json::Value>(&said).expect("it is JSON")
    };
    let is_complete = async || {
        let (_, said) = said(on_sqs(&service, &cloud, &["runs", "list", "--json"])).await;
        said.contains("COMPLETED")
    };
    while !is_complete().await || list().await.as_array().map(Vec::len) != Some(2) {
        cloud.set_ahead(0);
        assert!(worker.try_wait().expect("it can be waited for").is_none());
    }
    let letters = list().await.to_string();
    for reason in ["unreadable message", "unknown merchant"] {
        assert!(letters.contains(reason), "{reason}: {letters}");
    }
    let pid = i32::try_from(worker.id()).expect("process ids are small");
    // SAFETY: kill(2) has no memory effects; the process is our own child.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    let output = tokio::task::spawn_blocking(move || worker.wait_with_output())
        .await
        .expect("the wait is not cancelled")
        .expect("it can be waited for");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("went to the dead letters"), "{log}");

    let (is_done, depth) = said(on_sqs(&service, &cloud, &["queue", "depth", "--json"])).await;
    assert!(is_done, "{depth}");
    let depth: serde_json::Value = serde_json::from_str(&depth).expect("it is JSON");
    assert_eq!(
        (&depth[0]["dead"], &depth[0]["ready"]),
        (&2.into(), &0.into())
    );
    let (is_done, redriven) = said(on_sqs(&service, &cloud, &["queue", "redrive", "--all"])).await;
    assert!(is_done && redriven.contains('2'), "{redriven}");
    assert_eq!(list().await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_and_a_region_that_is_not_set_are_named() {
    let service = present_day(small(10)).await;
    let cloud = Cloud::start().await;
    let mut elsewhere = on_sqs(&service, &cloud, &["queue", "depth"]);
    elsewhere.env("SALLA_SYNC_QUEUE", "sqs://nowhere");
    let (is_done, error) = said(elsewhere).await;
    assert!(
        !is_done && error.contains("nowhere-historical-sync"),
        "{error}"
    );
    assert!(
        error.contains("does not exist in the region eu-central-1"),
        "{error}"
    );

    let mut nowhere = on_sqs(&service, &cloud, &["queue", "depth"]);
    nowhere
        .env_remove("AWS_REGION")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let (is_done, error) = said(nowhere).await;
    assert!(!is_done && error.contains("set AWS_REGION"), "{error}");

    let mut wrong = on_sqs(&service, &cloud, &["work"]);
    wrong.env(
        "SALLA_SYNC_QUEUE",
        "https://sqs.eu-central-1.amazonaws.com/1/q",
    );
    let (is_done, error) = said(wrong).await;
    assert!(!is_done && error.contains("sqs://PREFIX"), "{error}");
}
