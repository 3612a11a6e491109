//! A failed connection reports the reason immediately, without the password.

use std::sync::Arc;
use std::time::Duration;

use database::{ConnectSettings, Database};
use importer::ports::clock::SystemClock;
use secrecy::SecretString;
use tokio::net::TcpListener;

use crate::servers::Administered;

/// With so much time that nothing but the cause itself can end the wait.
async fn refusal(url: &str) -> String {
    let settings = ConnectSettings {
        timeout: Duration::from_secs(600),
        ..ConnectSettings::new(SecretString::from(url))
    };
    let connecting = Database::connect(settings, Arc::new(SystemClock::real()));
    let limit = Duration::from_secs(120);
    let refused = tokio::time::timeout(limit, connecting)
        .await
        .expect("it ends");
    let text = refused.unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
    text
}

#[tokio::test]
async fn each_reason_is_told_at_once() {
    for (url, parts) in [
        (
            "postgres://bob:hunter2@127.0.0.1:1/shops",
            vec!["connection refused", "127.0.0.1", "shops", "bob"],
        ),
        (
            "postgres://bob:hunter2@[::1]:1/shops",
            // A machine without IPv6 has no such address.
            vec!["::1", "shops"],
        ),
        (
            "postgres://bob:hunter2@nonexistent.invalid/shops?sslmode=prefer",
            vec!["cannot be resolved", "nonexistent.invalid"],
        ),
        (
            "postgres://bob:hunter2@%2Fnowhere/shops",
            vec!["no such socket", "/nowhere"],
        ),
        (
            "postgres://bob:hunter2@localhost/shops?host=/nowhere",
            vec!["no such socket", "/nowhere"],
        ),
    ] {
        let text = refusal(url).await;
        for part in parts {
            assert!(text.contains(part), "{url}: {text}");
        }
    }
    for url in [
        "mysql://bob:hunter2@localhost/shops",
        "postgres://bob:hunter2/x@localhost/shops",
        "postgres://bob:hunter2@x@localhost/shops",
    ] {
        let text = refusal(url).await;
        assert!(text.contains("the address of the database"), "{text}");
    }
}

/// Something else listens there: it hangs up, or talks another language.
#[tokio::test]
async fn what_is_not_postgresql_is_not_waited_for() {
    use tokio::io::AsyncWriteExt as _;
    for greeting in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                client.write_all(greeting).await.unwrap();
            }
        });
        let text = refusal(&format!("postgres://bob:hunter2@{address}/shops")).await;
        assert!(text.contains("127.0.0.1"), "{text}");
    }
}

#[tokio::test]
async fn a_single_connection_is_too_few_and_says_so() {
    for limit in ["ROLE $role", "DATABASE $db"] {
        let administered = Administered::new().await;
        administered
            .tell(&format!("ALTER {limit} CONNECTION LIMIT 1"))
            .await;
        let text = administered.connect().await.unwrap_err().to_string();
        assert!(
            text.contains("two are needed") && text.contains("CONNECTION LIMIT"),
            "{text}"
        );
        administered
            .tell(&format!("ALTER {limit} CONNECTION LIMIT 0"))
            .await;
        let text = administered.connect().await.unwrap_err().to_string();
        assert!(text.contains("53300 too many connections"), "{text}");
        administered.end().await;
    }
}

#[tokio::test]
async fn an_account_or_a_database_that_is_not_there_is_named() {
    let administered = Administered::new().await;
    administered
        .tell("REVOKE ALL ON DATABASE $db FROM PUBLIC")
        .await;
    let text = administered.connect().await.unwrap_err().to_string();
    assert!(
        text.contains("42501") && text.contains(&administered.name),
        "{text}"
    );
    administered.tell("ALTER ROLE $role NOLOGIN").await;
    let text = administered.connect().await.unwrap_err().to_string();
    assert!(
        text.contains("28000") && text.contains(&administered.role),
        "{text}"
    );
    administered.end().await;
}
