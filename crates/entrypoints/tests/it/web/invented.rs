//! What chance invents from the API's own description, by schemathesis.

use std::path::Path;
use std::process::Stdio;

use salla_simulator::InvalidRates;
use tokio::process::Command;

use super::api::{ALL, ApiFixture, token};
use super::served::TIMEOUT;
use crate::truth::small;

/// Installs it where it is not there yet.
async fn schemathesis(root: &Path) -> String {
    let script = root.join("scripts/get-schemathesis.sh");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut command = Command::new(&script);
    command.env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
    let installed = tokio::time::timeout(TIMEOUT * 5, command.kill_on_drop(true).output()).await;
    let output = installed.expect("it is installed in time").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", script.display());
    let path = String::from_utf8(output.stdout).unwrap();
    path.lines().last().expect("its path is printed").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_responds_as_its_description_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = schemathesis(&root).await;
    let mut scenario = small(60);
    scenario.invalid = InvalidRates {
        orders: 0.1,
        ..InvalidRates::default()
    };
    let api = ApiFixture::open(scenario, &["--with-worker"]).await;
    let (token, _) = token(&api.service, &ALL).await;
    let mut command = Command::new(program);
    command
        .arg("--config-file")
        .arg(root.join("scripts/schemathesis/schemathesis.toml"))
        .args([
            "run",
            &api.served.url("/openapi.json"),
            // Python 3.11 loses count of its recursion if threads compile concurrently.
            "--workers",
            "1",
            "--phases",
            "examples,coverage,fuzzing",
            // A stream, whose description is that of each event's data.
            "--exclude-operation-id",
            "followSync",
            "--no-color",
        ])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .env("MERCHANT", api.merchant.to_string())
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(TIMEOUT * 3, command.output()).await;
    let output = output.expect("it ends in time").unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    eprintln!("{text}");
}
