//! Poolers that take sessions away are refused.
//!
//! The pooler is a fake that answers the few statements of the check. It chooses
//! sessions as PgBouncer does: the one that was used last, or each in its turn
//! (`server_round_robin`). The check was tried on PgBouncer 1.18 as well.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use database::{ConnectSettings, Database};
use importer::ports::clock::SystemClock;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Sessions that no transaction holds; the next to be given is in front.
type Free = Arc<Mutex<VecDeque<i32>>>;

#[derive(Clone, Copy, Debug)]
enum Choice {
    UsedLast,
    InTurn,
}

#[tokio::test]
async fn transaction_pooling_is_refused_with_a_way_out() {
    for choice in [Choice::UsedLast, Choice::InTurn] {
        for sessions in 1..=4 {
            let address = fake_pooler(sessions, choice).await;
            let url = format!("postgres://shop:hunter2@{address}/shop?sslmode=disable");
            let settings = ConnectSettings {
                timeout: Duration::from_secs(5),
                ..ConnectSettings::new(SecretString::from(url))
            };
            let connected = Database::connect(settings, Arc::new(SystemClock::real())).await;
            let text = connected.unwrap_err().to_string();
            for part in ["session mode", "127.0.0.1"] {
                assert!(text.contains(part), "{sessions}, {choice:?}: {text}");
            }
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

async fn fake_pooler(sessions: i32, choice: Choice) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let free: Free = Arc::new(Mutex::new((1..=sessions).collect()));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, free.clone(), choice));
        }
    });
    address
}

/// Ends when the client goes, or asks for a session while there is none.
async fn serve(mut client: TcpStream, free: Free, choice: Choice) -> Option<()> {
    let length = client.read_i32().await.ok()?;
    read(&mut client, length).await?;
    let authentication_ok = message(b'R', &0_i32.to_be_bytes());
    client.write_all(&authentication_ok).await.ok()?;
    client.write_all(&ready(false)).await.ok()?;
    let mut held: Option<i32> = None;
    loop {
        let kind = client.read_u8().await.ok()?;
        let length = client.read_i32().await.ok()?;
        let body = read(&mut client, length).await?;
        let session = match held {
            Some(session) => session,
            None => free.lock().unwrap().pop_front()?,
        };
        let answer = match (kind, body.as_slice()) {
            (b'Q', b"SELECT pg_backend_pid()\0") => one_row(&session.to_string()),
            (b'Q', _) => message(b'C', b"OK\0"),
            (b'S', _) => Vec::new(),
            _ => return None,
        };
        held = match body.as_slice() {
            body if body.starts_with(b"BEGIN") => Some(session),
            b"ROLLBACK\0" => None,
            _ => held,
        };
        if held.is_none() {
            let mut free = free.lock().unwrap();
            match choice {
                Choice::UsedLast => free.push_front(session),
                Choice::InTurn => free.push_back(session),
            }
        }
        client.write_all(&answer).await.ok()?;
        client.write_all(&ready(held.is_some())).await.ok()?;
    }
}

async fn read(client: &mut TcpStream, length: i32) -> Option<Vec<u8>> {
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    client.read_exact(&mut body).await.ok()?;
    Some(body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

fn ready(in_transaction: bool) -> Vec<u8> {
    message(b'Z', if in_transaction { b"T" } else { b"I" })
}

/// One column of the type integer, as text.
fn one_row(value: &str) -> Vec<u8> {
    let mut description = 1_i16.to_be_bytes().to_vec();
    description.extend(b"pg_backend_pid\0");
    // Of no table and no column; type 23, 4 bytes, no modifier, as text.
    description.extend([0; 6]);
    description.extend(23_i32.to_be_bytes());
    description.extend(4_i16.to_be_bytes());
    description.extend((-1_i32).to_be_bytes());
    description.extend(0_i16.to_be_bytes());
    let mut row = 1_i16.to_be_bytes().to_vec();
    row.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
    row.extend(value.as_bytes());
    let parts = [
        message(b'T', &description),
        message(b'D', &row),
        message(b'C', b"SELECT 1\0"),
    ];
    parts.concat()
}
