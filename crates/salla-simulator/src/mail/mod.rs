//! A mail server on this machine: it takes what is sent and keeps it to be looked at, refuses
//! as its scenario says, and forwards nothing.
//!
//! It speaks plain SMTP (RFC 5321) with `AUTH PLAIN` and `8BITMIME`; TLS is for a proxy that stands
//! in front of it.

mod message;
mod session;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use message::Mail;

use crate::locked;

/// Where in the conversation a reply is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailStage {
    Greeting,
    Authentication,
    Sender,
    Recipient,
    /// After `DATA`, before the message.
    Data,
    /// After the message.
    Message,
}

/// What the server does instead of accepting.
#[derive(Clone, Debug)]
pub enum MailReply {
    /// A line such as `451 4.7.1 try again later`.
    Line(String),
    /// It closes the connection.
    HangUp,
    /// It keeps the message and closes the connection without saying so.
    TakeAndHangUp,
    /// It says nothing for as long as it is waited for.
    Silence,
}

#[derive(Debug, Default)]
struct State {
    mails: Vec<Mail>,
    replies: HashMap<MailStage, VecDeque<MailReply>>,
    connections: u64,
}

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl MailServer {
    /// Starts on a free port of this machine.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let kept = state.clone();
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                locked(&kept).connections += 1;
                tokio::spawn(session::serve(client, kept.clone()));
            }
        });
        Ok(Self {
            address,
            state,
            server,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was taken, in the order in which it came.
    pub fn mails(&self) -> Vec<Mail> {
        locked(&self.state).mails.clone()
    }

    /// How many clients have connected.
    pub fn connections(&self) -> u64 {
        locked(&self.state).connections
    }

    /// The next time that the conversation gets there, this is the reply; several are given one
    /// after the other, and then everything is accepted again.
    pub fn reply_next(&self, stage: MailStage, reply: MailReply) {
        let mut state = locked(&self.state);
        state.replies.entry(stage).or_default().push_back(reply);
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}
