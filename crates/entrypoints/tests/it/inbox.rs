//! `salla-sync notifications`, as it is typed.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;

use crate::jobs::Office;
use crate::notifications::{after_an_import, tell};
use crate::process::{program, run};

async fn typed(office: &Office, arguments: &[&str]) -> (Option<i32>, String, String) {
    let arguments = [&["notifications"], arguments].concat();
    let output = run(program(&office.service, &arguments)).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

async fn listed(office: &Office, more: &[&str]) -> Vec<Value> {
    let arguments = [&["list", "--json"], more].concat();
    let (code, out, errors) = typed(office, &arguments).await;
    assert_eq!(code, Some(0), "{errors}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_merchants_were_told_is_listed_and_marked_as_read() {
    let office = after_an_import().await;
    tell(&office, vec![]).await;
    let shop = office.service.simulator.merchant_id().to_string();
    let all = listed(&office, &["--shop", &shop]).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["kind"], "SYNC_COMPLETE");
    assert_eq!(all[0]["read_at"], Value::Null);
    let words = all[0]["body"]["en"].as_str().unwrap();
    assert!(words.contains("has been imported"), "{words}");
    let id = all[0]["id"].as_str().unwrap().to_owned();
    let (code, table, _) = typed(&office, &["list"]).await;
    assert_eq!(code, Some(0));
    assert!(
        table.contains(&id) && table.contains("SYNC_COMPLETE"),
        "{table}"
    );

    let nobody = uuid::Uuid::nil().to_string();
    let (code, _, errors) = typed(&office, &["read", &id, &nobody]).await;
    assert_eq!(code, Some(2));
    assert!(
        errors.contains(&nobody) && !errors.contains(&id),
        "{errors}"
    );
    assert_eq!(listed(&office, &["--unread"]).await, all);

    assert_eq!(typed(&office, &["read", &id]).await.0, Some(0));
    let read = listed(&office, &[]).await;
    assert!(read[0]["read_at"].is_string(), "{read:?}");
    assert_eq!(typed(&office, &["read", &id]).await.0, Some(0));
    assert_eq!(listed(&office, &[]).await, read, "it keeps its time");
    assert_eq!(listed(&office, &["--unread"]).await, Vec::<Value>::new());

    let (code, _, errors) = typed(&office, &["list", "--shop", "1"]).await;
    assert_eq!(code, Some(2));
    assert!(errors.contains("Salla's number 1"), "{errors}");
}
