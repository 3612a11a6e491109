//! The example in TypeScript, run as its README says.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use salla_simulator::InvalidRates;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::api::{ALL, token};
use super::served::{Served, TIMEOUT};
use crate::process::present_day;
use crate::truth::small;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A copy of the example, so that nothing is built among the sources.
fn copy() -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/typescript");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("typescript");
    for folder in ["src", "scripts"] {
        std::fs::create_dir_all(copy.join(folder)).unwrap();
    }
    for folder in ["", "src", "scripts"] {
        for entry in std::fs::read_dir(example.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), copy.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    copy
}

/// What a program says, which has to end well.
async fn said(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(TIMEOUT * 2, output).await.unwrap();
    let output =
        output.unwrap_or_else(|error| panic!("{shown}: {error}; it needs Node 20 or newer"));
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}:\n{text}\n{errors}");
    text
}

/// Between the example and the server: it cuts the first stream of events after an event.
async fn cutting(server: std::net::SocketAddr, streams: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let streams = streams.clone();
            tokio::spawn(async move { pass(client, server, &streams).await });
        }
    });
    format!("http://{address}")
}

async fn pass(
    mut client: TcpStream,
    server: std::net::SocketAddr,
    streams: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut server = TcpStream::connect(server).await.ok()?;
    let mut request = vec![0; 16_384];
    let read = client.read(&mut request).await.ok()?;
    let text = String::from_utf8_lossy(&request[..read]).into_owned();
    // Each request uses a separate connection, so that the stream is known.
    let text = text.replacen("connection: keep-alive", "connection: close", 1);
    server.write_all(text.as_bytes()).await.ok()?;
    let text = text.to_lowercase();
    let is_first = text.contains("/sync/events ") && {
        let mut streams = streams.lock().unwrap();
        streams.push(text);
        streams.len() == 1
    };
    if !is_first {
        tokio::io::copy_bidirectional(&mut client, &mut server)
            .await
            .ok()?;
        return None;
    }
    let mut passed = String::new();
    while !passed.contains("data: ") {
        let read = server.read(&mut request).await.ok()?;
        client.write_all(&request[..read]).await.ok()?;
        passed.push_str(&String::from_utf8_lossy(&request[..read]));
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_imports_a_shop_and_is_notified_of_the_end() {
    let example = copy();
    let mut scenario = small(60);
    scenario.invalid = InvalidRates {
        orders: 0.1,
        ..InvalidRates::default()
    };
    let service = present_day(scenario).await;
    service.connect().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let url = format!("http://127.0.0.1:{port}/");
    let settings = [
        ("SALLA_SYNC_WEBHOOK_URL", url.as_str()),
        ("SALLA_SYNC_WEBHOOK_SECRET", SECRET),
    ];
    let served = Served::start_with(&service, &["--with-worker"], &settings).await;

    let npm = |arguments: &[&str]| {
        let mut npm = Command::new("npm");
        npm.current_dir(&example).args(arguments);
        npm
    };
    said(&mut npm(&[
        "ci",
        "--no-audit",
        "--no-fund",
        "--prefer-offline",
    ]))
    .await;
    let server = format!("http://{}", served.address);
    let mut types = Command::new("node");
    types
        .current_dir(&example)
        .args(["scripts/types.mjs", &server]);
    let written = said(&mut types).await;
    let checked_in = std::fs::read_to_string(example.join("src/api.ts")).unwrap();
    assert!(
        written.trim() == checked_in.trim(),
        "src/api.ts is not what /openapi.json says: write it again as its README says\n{written}"
    );
    said(&mut npm(&["run", "build"])).await;

    let (token, _) = token(&service, &ALL).await;
    let streams = Arc::default();
    let through = cutting(served.address, Arc::clone(&streams)).await;
    let mut example_itself = npm(&["start", "--silent", "--"]);
    example_itself
        .arg(service.simulator.merchant_id().to_string())
        .env("SALLA_SYNC_SERVER", through)
        .env("SALLA_SYNC_TOKEN", &token)
        .env("SALLA_SYNC_WEBHOOK_SECRET", SECRET)
        .env("SALLA_SYNC_WEBHOOK_PORT", &port);
    let text = said(&mut example_itself).await;
    for expected in [
        "begun: run ",
        "COMPLETED 100 %: ",
        "certificate as of ",
        "rejected orders ",
        " records could not be read",
        "message SYNC_COMPLETE of shop ",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let rejected = text
        .lines()
        .filter(|line| line.starts_with("rejected "))
        .count();
    assert!(rejected > 2, "more than a page: {text}");
    assert!(
        text.contains(&format!("{rejected} records could not be read")),
        "{text}"
    );
    let streams = streams.lock().unwrap();
    assert!(streams.len() > 1, "the stream was opened again");
    assert!(!streams[0].contains("last-event-id") && streams[1].contains("last-event-id: "));
    assert!(!text.contains(&token));
}
