//! Whatever changes who may do what, or takes data out or away, is in the audit log.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::truth::small;

async fn said(service: &TestService, arguments: &[&str]) -> String {
    let output = run(program(service, arguments)).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How often each action is there, and whether it names the shop.
async fn entries(service: &TestService) -> BTreeMap<(String, bool), usize> {
    let log = said(service, &["audit", "list", "--json"]).await;
    let log: Vec<Value> = serde_json::from_str(&log).expect("it prints JSON");
    let mut found = BTreeMap::new();
    for entry in log {
        assert_eq!(entry["actor"], "operator", "{entry}");
        let action = entry["action"].as_str().unwrap_or_default().to_owned();
        let names_shop = !entry["salla_id"].is_null();
        *found.entry((action, names_shop)).or_default() += 1;
    }
    found
}

/// Each command that decides about access, tokens, keys or data, and what it leaves.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_changes_who_may_do_what_is_in_the_audit_log() {
    let service = present_day(small(20)).await;
    let shop = service.simulator.merchant_id().to_string();
    let shop = shop.as_str();
    said(&service, &["import"]).await;
    let customer: i64 = sqlx::query_scalar("SELECT min(id) FROM salla.customers")
        .fetch_one(service.open.database.pool())
        .await
        .expect("there are customers");
    let customer = customer.to_string();
    let customer = customer.as_str();
    let before = entries(&service).await;
    let mut expected = before;
    let created = [
        "tokens", "create", "--name", "t", "--scope", "read", "--json",
    ];
    let token: Value = serde_json::from_str(&said(&service, &created).await).expect("JSON");
    let token = token["id"].as_str().unwrap_or_default();
    expected.insert(("token_created".to_owned(), false), 1);
    let walk: [(&[&str], &str, bool); 12] = [
        (&["tokens", "revoke", token], "token_revoked", false),
        (&["connect"], "shop_connected", true),
        (
            &["connections", "contact", shop, "--language", "en"],
            "contact_changed",
            true,
        ),
        (&["connections", "park", shop], "tokens_parked", true),
        (
            &["connections", "adopt", "--shop", shop],
            "tokens_adopted",
            true,
        ),
        (&["keys", "rotate"], "key_changed", false),
        (&["roles", "create"], "roles_changed", false),
        (&["cdc", "enable"], "publication_changed", false),
        (&["sessions", "revoke", "--shop", shop], "", true),
        (
            &["export", "--customer", customer, "--shop", shop],
            "data_exported",
            true,
        ),
        (
            &["forget", "--customer", customer, "--shop", shop],
            "data_deleted",
            true,
        ),
        (
            &["connections", "forget", "--shop", shop],
            "tokens_forgotten",
            true,
        ),
    ];
    for (arguments, action, names_shop) in walk {
        said(&service, arguments).await;
        // No merchant was signed in, so none was signed out.
        if !action.is_empty() {
            *expected.entry((action.to_owned(), names_shop)).or_default() += 1;
        }
        assert_eq!(entries(&service).await, expected, "{arguments:?}");
    }
    // What only looks, or changes nothing, leaves nothing.
    for arguments in [
        &["connections", "list"] as &[&str],
        &["connections", "contact", shop],
        &["connections", "park", shop, "--dry-run"],
        &["forget", "--shop", shop, "--dry-run"],
        &["tokens", "list"],
        &["roles", "status"],
    ] {
        said(&service, arguments).await;
    }
    assert_eq!(entries(&service).await, expected);
    said(&service, &["forget", "--shop", shop]).await;
    *expected
        .entry(("data_deleted".to_owned(), true))
        .or_default() += 1;
    assert_eq!(entries(&service).await, expected);
}
