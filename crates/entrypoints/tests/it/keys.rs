//! Keys and connections, as they are handled at the command line.

use std::process::Output;

use serde_json::Value;

use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::truth::small;

async fn said(service: &TestService, arguments: &[&str], key: &str) -> Output {
    let mut command = program(service, arguments);
    command.env("SALLA_SYNC_KEY", key);
    run(command).await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// The whole way of a key, and nothing but `generate` shows one.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_rotated_and_taken_out() {
    let service = present_day(small(10)).await;
    let mut command = program(&service, &["keys", "generate", "--name", "k1"]);
    let former = run(command).await;
    let former = text(&former.stdout).trim().to_owned();
    command = program(&service, &["keys", "generate"]);
    let made = run(command).await;
    let new = text(&made.stdout).trim().to_owned();
    assert_eq!(text(&made.stdout).lines().count(), 1);
    let secret = new.split_once(':').expect("a name and a key").1.to_owned();
    assert!(
        !text(&made.stderr).contains(&secret),
        "the advice shows no key"
    );

    let add = [
        "connections",
        "add",
        "--tag",
        "tenant=42",
        "--email",
        "a@example.com",
        "--json",
    ];
    json(&said(&service, &add, &former).await);
    let shop = service.simulator.merchant_id().to_string();
    let ring = format!("{new},{former}");
    let status = json(&said(&service, &["keys", "status", "--json"], &ring).await);
    assert_eq!(
        (&status[0]["connections"], &status[1]["connections"]),
        (&0.into(), &1.into())
    );
    assert_eq!(status[1]["contacts"], 1);
    let rotated = json(&said(&service, &["keys", "rotate", "--json"], &ring).await);
    assert_eq!(
        (&rotated["connections"], &rotated["contacts"]),
        (&1.into(), &1.into())
    );
    let status = json(&said(&service, &["keys", "status", "--json"], &new).await);
    assert_eq!(status.as_array().map(Vec::len), Some(1));
    let table = said(&service, &["keys", "status"], &ring).await;
    assert!(
        text(&table.stdout).contains("can be removed"),
        "{}",
        text(&table.stdout)
    );
    assert!(!text(&table.stdout).contains(&secret));

    let show = ["connections", "show", &shop, "--json"];
    let shown = json(&said(&service, &show, &new).await);
    assert_eq!(
        (&shown["mode"], &shown["state"]),
        (&"owned".into(), &"ACTIVE".into())
    );
    assert_eq!(shown["tags"]["tenant"], "42");
    let contact = [
        "connections",
        "contact",
        &shop,
        "--language",
        "en",
        "--json",
    ];
    let contact = json(&said(&service, &contact, &new).await);
    assert_eq!(
        (&contact["email"], &contact["language"]),
        (&"a@example.com".into(), &"en".into())
    );

    let parked = json(&said(&service, &["connections", "park", "--all", "--json"], &new).await);
    assert_eq!(parked["parked"][0]["salla_id"].to_string(), shop);
    let refused = said(&service, &["connections", "park", "4711"], &new).await;
    assert_eq!(refused.status.code(), Some(2));
    let shown = said(&service, &["connections", "show", &shop], &new).await;
    assert!(
        text(&shown.stdout).contains("DISCONNECTED (parked)"),
        "{}",
        text(&shown.stdout)
    );
    let adopt = ["connections", "adopt", "--shop", &shop, "--json"];
    let adopted = json(&said(&service, &adopt, &new).await);
    assert_eq!(adopted["adopted"][0]["salla_id"].to_string(), shop);
}
