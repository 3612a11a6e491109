//! A proxy that fails as networks and services do. It lets requests pass one by one, each over a
//! separate connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None.
    Pass,
    /// The connection ends before the server has received anything.
    Reset,
    /// The server has done it, and its response is lost.
    LoseAnswer,
    Throttle,
    Unavailable,
    Deny,
}

pub(crate) type Faults = Arc<Mutex<dyn FnMut(&str) -> Fault + Send>>;

/// Decides by the name of the action, such as `SendMessage`.
pub(crate) fn faults(decide: impl FnMut(&str) -> Fault + Send + 'static) -> Faults {
    Arc::new(Mutex::new(decide))
}

/// Runs as long as the test does; returns its address.
pub(crate) async fn start(server: SocketAddr, faults: Faults) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let faults = faults.clone();
            tokio::spawn(async move {
                // A connection that ends early is what this is for.
                drop(pass(client, server, &faults).await);
            });
        }
    });
    format!("http://{address}")
}

async fn pass(mut client: TcpStream, server: SocketAddr, faults: &Faults) -> std::io::Result<()> {
    let request = read_request(&mut client).await?;
    let text = String::from_utf8_lossy(&request).into_owned();
    let fault = (faults.lock().unwrap())(action(&text));
    match fault {
        Fault::Pass => client.write_all(&ask(server, &text, &request).await?).await,
        Fault::Reset => Ok(()),
        Fault::LoseAnswer => ask(server, &text, &request).await.map(drop),
        Fault::Throttle => client.write_all(&refusal(400, "RequestThrottled")).await,
        Fault::Unavailable => client.write_all(&refusal(503, "ServiceUnavailable")).await,
        Fault::Deny => client.write_all(&refusal(403, "AccessDenied")).await,
    }
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn action(request: &str) -> &str {
    let target = header(request, "x-amz-target").unwrap_or_default();
    target.rsplit_once('.').map_or(target, |(_, action)| action)
}

async fn read_request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            let length = header(&head, "content-length").and_then(|text| text.parse().ok());
            if request.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(request);
            }
        }
        let mut part = [0; 8_192];
        match client.read(&mut part).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&part[..read]),
        }
    }
}

/// Asks the server to end the connection after its response, which is then all that comes.
async fn ask(server: SocketAddr, text: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let line = text.find("\r\n").unwrap_or(0);
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(&request[..line]).await?;
    upstream.write_all(b"\r\nconnection: close").await?;
    upstream.write_all(&request[line..]).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn refusal(status: u16, code: &str) -> Vec<u8> {
    let body = format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"no"}}"#);
    let length = body.len();
    format!(
        "HTTP/1.1 {status} No\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amzn-query-error: {code};Sender\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
