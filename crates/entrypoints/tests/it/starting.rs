//! `salla-sync runs start` and `extend`, as typed, while another run of the shop is open.

use crate::process::{present_day, program, run};
use crate::reprocess::json;
use crate::service::{TestService, completed};
use crate::truth::small;

/// The state of the run, whether it falls short of what is requested, and the exit code.
async fn requested(service: &TestService, arguments: &[&str]) -> (String, bool, i32) {
    let (report, code) = json(service, &[arguments, &["--json"]].concat()).await;
    let state = report["state"].as_str().expect("there is a state");
    let falls_short = report["falls_short"].as_bool().expect("it is said");
    (state.to_owned(), falls_short, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn success_means_that_workers_will_do_what_was_requested() {
    let service = present_day(small(40)).await;
    completed(service.import().await.1);
    let shop = service.simulator.merchant_id().to_string();
    let start = ["runs", "start", "--shop", &shop];
    let extend = ["runs", "extend", "--months", "12", "--shop", &shop];
    let again = [&start[..], &["--again"]].concat();
    let lists = [&start[..], &["--refresh-lists"]].concat();
    let further = [&start[..], &["--months", "24"]].concat();
    let table = |state: &str, done: i32| {
        [
            (&start[..], (state.to_owned(), false, done)),
            (&again[..], (state.to_owned(), true, 4)),
            (&lists[..], (state.to_owned(), true, 4)),
            (&further[..], (state.to_owned(), true, 4)),
            (&extend[..], (state.to_owned(), false, done)),
        ]
    };
    // The first begins a run that catches up, and the others join it.
    for (arguments, expected) in table("PENDING", 0) {
        let found = requested(&service, arguments).await;
        assert_eq!(found, expected, "{arguments:?}");
    }
    let paused = run(program(&service, &["runs", "pause", &shop])).await;
    assert!(paused.status.success());
    for (arguments, expected) in table("PAUSED", 4) {
        assert_eq!(
            requested(&service, arguments).await,
            expected,
            "{arguments:?}"
        );
        let output = run(program(&service, arguments)).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("`salla-sync runs resume "), "{said}");
        assert!(!said.contains("a worker will run it"), "{said}");
    }
    let resumed = run(program(&service, &["runs", "resume", &shop])).await;
    assert!(resumed.status.success());
    let found = requested(&service, &start).await;
    assert_eq!(found, ("PENDING".to_owned(), false, 0));
}
