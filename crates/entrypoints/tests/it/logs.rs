//! What a worker logs as JSON.

use std::collections::BTreeSet;

use domain::run::RunState;
use importer::testing::clock::a_moment;
use salla_simulator::AppAge;
use serde_json::{Map, Value};

use crate::jobs::BackgroundService;
use crate::process::program;
use crate::truth::small;

type Line = Map<String, Value>;

/// Its lines, each of them one flat object; the notes for people are left out.
fn lines(said: &str) -> Vec<Line> {
    let lines: Vec<Line> = said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let object: Line =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let is_flat = |value: &Value| !value.is_object() && !value.is_array();
            assert!(object.values().all(is_flat), "{line}");
            let again = serde_json::to_string(&object).expect("it was JSON");
            assert_eq!(again.len(), line.len(), "a name comes twice: {line}");
            object
        })
        .collect();
    assert!(lines.len() > 20, "{said}");
    lines
}

fn with<'a>(lines: &'a [Line], message: &str) -> Vec<&'a Line> {
    let found: Vec<&Line> = lines.iter().filter(|l| l["message"] == message).collect();
    assert!(!found.is_empty(), "no line has {message:?}");
    found
}

fn has_all(line: &Line, names: &[&str]) {
    for name in names {
        assert!(line.contains_key(*name), "{name} is missing from {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_job_is_flat_and_says_what_it_is_about() {
    let mut scenario = small(300).moved_to(salla_simulator::present());
    scenario.app_age = AppAge::FullDetails;
    scenario.faults.status_500 = 0.05;
    let background = BackgroundService::open(scenario).await;
    let run = background.start().await;
    let arguments = ["--log", "info,importer=debug,salla.request=debug"];
    let arguments = [&arguments[..], &["--log-format", "json", "work"]].concat();
    let mut worker = program(&background.service, &arguments);
    let worker = worker.spawn().expect("it starts");
    let pid = i32::try_from(worker.id()).expect("process ids are small");
    let output = tokio::task::spawn_blocking(move || worker.wait_with_output());
    while background.run(&run).await.state != RunState::Completed {
        assert!(!output.is_finished(), "the worker ended too early");
        a_moment().await;
    }
    // SAFETY: kill(2) has no memory effects; the process is our own child.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    let output = output.await.expect("it is waited for").expect("it ends");
    let lines = lines(&String::from_utf8_lossy(&output.stderr));

    for line in &lines {
        has_all(line, &["timestamp", "level", "target", "message"]);
        let timestamp = line["timestamp"].as_str().unwrap_or_default();
        assert!(timestamp.parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
    }
    let of_the_run = ["merchant_id", "run_id", "job_id", "attempt"];
    for line in with(&lines, "pages landed") {
        has_all(line, &of_the_run);
        has_all(line, &["resource", "duration_ms", "pages", "loaded"]);
        assert_eq!(line["run_id"], run.id.to_string());
        assert_eq!(line["resource"] == "orders", line.contains_key("window"));
    }
    has_all(with(&lines, "details landed")[0], &of_the_run);
    has_all(with(&lines, "window walked")[0], &of_the_run);
    let answers = with(&lines, "answered");
    for line in &answers {
        has_all(
            line,
            &["job_id", "attempt", "duration_ms", "path", "status"],
        );
    }
    let pages = answers.iter().filter(|line| line.contains_key("page"));
    let pages: Vec<_> = pages.collect();
    assert!(pages.len() >= 5, "{}", pages.len());
    for line in pages {
        has_all(line, &of_the_run);
        has_all(line, &["resource", "page"]);
    }
    let attempts: BTreeSet<_> = answers.iter().map(|l| l["attempt"].as_u64()).collect();
    assert!(attempts.contains(&Some(1)) && attempts.contains(&Some(2)));
}
