//! Settings that lie in Secrets Manager, and a key that KMS has wrapped.

use std::process::Command;

use aws::testing::{create_secret, wrap};
use serde_json::json;

use super::Cloud;
use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::support::KEY;
use crate::truth::small;

/// `salla-sync doctor` without the settings that secrets are to hold.
fn doctor(service: &TestService, cloud: &Cloud, environment: &[(&str, &str)]) -> Command {
    let mut command = program(service, &["doctor"]);
    cloud.env(&mut command);
    for name in ["DATABASE_URL", "SALLA_SYNC_KEY", "SALLA_CLIENT_SECRET"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    command
}

async fn said(command: Command) -> (bool, String) {
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_keys_come_from_secrets() {
    let service = present_day(small(10)).await;
    let cloud = Cloud::start().await;
    let aws = &cloud.aws;
    let url = service.database.url();
    // Stored with the key as it is.
    let (is_done, text) = said(program(&service, &["connect"])).await;
    assert!(is_done, "{text}");

    let wrapped = wrap(aws, KEY, None).await;
    for (name, key) in [("plain", KEY), ("wrapped", &wrapped)] {
        let settings = json!({
            "DATABASE_URL": url,
            "SALLA_SYNC_KEY": key,
            "SALLA_CLIENT_SECRET": service.simulator.client_secret(),
        });
        create_secret(aws, name, &settings.to_string()).await;
        let (is_done, text) = said(doctor(&service, &cloud, &[("SALLA_SYNC_SECRET", name)])).await;
        assert!(is_done && !text.contains("BAD"), "{name}: {text}");
    }
    // A wrapped key in the environment serves as well, and the environment goes first.
    let elsewhere = [
        ("SALLA_SYNC_SECRET", "plain"),
        ("SALLA_SYNC_KEY", &wrapped),
        ("DATABASE_URL", "postgres://user@127.0.0.1:1/nothing"),
    ];
    let (is_done, text) = said(doctor(&service, &cloud, &elsewhere)).await;
    assert!(!is_done && text.contains("127.0.0.1, port 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_about_a_secret_is_named_and_nothing_of_it_is_shown() {
    let service = present_day(small(10)).await;
    let cloud = Cloud::start().await;
    let aws = &cloud.aws;
    create_secret(aws, "text", "hidden").await;
    create_secret(aws, "list", r#"{"SALLA_SYNC_KEY": ["hidden"]}"#).await;
    create_secret(aws, "empty", "{}").await;
    create_secret(aws, "user", r#"{"username": "hidden"}"#).await;
    let url = service.database.url();
    let other = wrap(aws, KEY, Some("something else")).await;
    /// Settings, and what is said of them.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let table: [Case<'_>; 7] = [
        (
            &[("SALLA_SYNC_SECRET", "nowhere")],
            &[
                "the secret nowhere",
                "does not exist in the region eu-central-1",
            ],
        ),
        (
            &[("SALLA_SYNC_SECRET", "text")],
            &["the secret text is no JSON object"],
        ),
        (&[("SALLA_SYNC_SECRET", "list")], &["under SALLA_SYNC_KEY"]),
        (
            &[("SALLA_SYNC_SECRET", "empty")],
            &["DATABASE_URL is not set"],
        ),
        (
            &[
                ("SALLA_SYNC_DATABASE_SECRET", "user"),
                ("DATABASE_URL", &url),
            ],
            &["no username and password"],
        ),
        (
            &[("SALLA_SYNC_KEY", "kms:hidden"), ("DATABASE_URL", &url)],
            &["the wrapped key", "aws kms encrypt"],
        ),
        (
            &[("SALLA_SYNC_KEY", &other), ("DATABASE_URL", &url)],
            &["the wrapped key", "for this purpose"],
        ),
    ];
    for (environment, parts) in table {
        let (is_done, text) = said(doctor(&service, &cloud, environment)).await;
        assert!(!is_done, "{environment:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{part} is missing from: {text}");
        }
        assert!(!text.contains("hidden"), "{environment:?}: {text}");
    }
}
