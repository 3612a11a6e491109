//! `salla-sync notifications`, as it is typed.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;

use crate::jobs::BackgroundService;
use crate::notifications::{after_an_import, notify};
use crate::process::{program, run};

async fn typed(
    background: &BackgroundService,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let arguments = [&["notifications"], arguments].concat();
    let output = run(program(&background.service, &arguments)).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

async fn listed(background: &BackgroundService, more: &[&str]) -> Vec<Value> {
    let arguments = [&["list", "--json"], more].concat();
    let (code, out, errors) = typed(background, &arguments).await;
    assert_eq!(code, Some(0), "{errors}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_merchants_were_notified_of_is_listed_and_marked_as_read() {
    let background = after_an_import().await;
    notify(&background, vec![]).await;
    let shop = background.service.simulator.merchant_id().to_string();
    let all = listed(&background, &["--shop", &shop]).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["kind"], "SYNC_COMPLETE");
    assert_eq!(all[0]["read_at"], Value::Null);
    let words = all[0]["body"]["en"].as_str().unwrap();
    assert!(words.contains("has been imported"), "{words}");
    let id = all[0]["id"].as_str().unwrap().to_owned();
    let (code, table, _) = typed(&background, &["list"]).await;
    assert_eq!(code, Some(0));
    assert!(
        table.contains(&id) && table.contains("SYNC_COMPLETE"),
        "{table}"
    );

    let unknown = uuid::Uuid::nil().to_string();
    let (code, _, errors) = typed(&background, &["read", &id, &unknown]).await;
    assert_eq!(code, Some(2));
    assert!(
        errors.contains(&unknown) && !errors.contains(&id),
        "{errors}"
    );
    assert_eq!(listed(&background, &["--unread"]).await, all);

    assert_eq!(typed(&background, &["read", &id]).await.0, Some(0));
    let read = listed(&background, &[]).await;
    assert!(read[0]["read_at"].is_string(), "{read:?}");
    assert_eq!(typed(&background, &["read", &id]).await.0, Some(0));
    assert_eq!(listed(&background, &[]).await, read, "it keeps its time");
    assert_eq!(
        listed(&background, &["--unread"]).await,
        Vec::<Value>::new()
    );

    let (code, _, errors) = typed(&background, &["list", "--shop", "1"]).await;
    assert_eq!(code, Some(2));
    assert!(errors.contains("Salla's id 1"), "{errors}");
}
