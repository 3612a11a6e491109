//! One conversation with a client.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Mail, MailReply, MailStage, State};
use crate::locked;

/// No message of this program comes near this.
const MAX_BYTES: usize = 1 << 20;

/// The conversation is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

struct Session {
    stream: BufReader<TcpStream>,
    state: Arc<Mutex<State>>,
    from: String,
    to: Vec<String>,
}

pub(super) async fn serve(client: TcpStream, state: Arc<Mutex<State>>) {
    // Replies are short, and the client waits for each.
    drop(client.set_nodelay(true));
    let mut session = Session {
        stream: BufReader::new(client),
        state,
        from: String::new(),
        to: Vec::new(),
    };
    // A client that hangs up has ended it.
    drop(session.talk().await);
}

impl Session {
    async fn talk(&mut self) -> Result<(), Over> {
        self.respond(MailStage::Greeting, "220 mail.example.test ESMTP")
            .await?;
        loop {
            let line = self.line().await?;
            let verb: String = line.chars().take_while(|c| !c.is_whitespace()).collect();
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    self.say("250-mail.example.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN")
                        .await?;
                }
                "HELO" | "NOOP" => self.say("250 ok").await?,
                "AUTH" => {
                    self.respond(MailStage::Authentication, "235 2.7.0 ok")
                        .await?;
                }
                "MAIL" => {
                    self.from = path(&line);
                    self.to.clear();
                    self.respond(MailStage::Sender, "250 2.1.0 ok").await?;
                }
                "RCPT" => {
                    let to = path(&line);
                    if self.respond(MailStage::Recipient, "250 2.1.5 ok").await? {
                        self.to.push(to);
                    }
                }
                "DATA" => self.data().await?,
                "RSET" => {
                    self.to.clear();
                    self.say("250 ok").await?;
                }
                "QUIT" => return self.say("221 bye").await,
                _ => self.say("502 5.5.1 no such command").await?,
            }
        }
    }

    async fn data(&mut self) -> Result<(), Over> {
        if self.to.is_empty() {
            return self.say("503 5.5.1 no recipients").await;
        }
        if !self.respond(MailStage::Data, "354 go ahead").await? {
            return Ok(());
        }
        let mut raw = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            // A dot that begins a line was doubled on the way.
            raw.push_str(line.strip_prefix('.').unwrap_or(&line));
            raw.push_str("\r\n");
            if raw.len() > MAX_BYTES {
                return Err(Over);
            }
        }
        let mail = Mail {
            from: self.from.clone(),
            to: std::mem::take(&mut self.to),
            raw,
        };
        match self.next(MailStage::Message) {
            None => {
                locked(&self.state).mails.push(mail);
                self.say("250 2.0.0 taken").await
            }
            Some(MailReply::TakeAndHangUp) => {
                locked(&self.state).mails.push(mail);
                Err(Over)
            }
            Some(other) => self.refuse(other).await,
        }
    }

    fn next(&self, stage: MailStage) -> Option<MailReply> {
        locked(&self.state).replies.get_mut(&stage)?.pop_front()
    }

    /// Says what was wanted for here, or accepts; whether it accepted.
    async fn respond(&mut self, stage: MailStage, accepted: &str) -> Result<bool, Over> {
        match self.next(stage) {
            None => {
                self.say(accepted).await?;
                Ok(true)
            }
            Some(reply) => {
                self.refuse(reply).await?;
                Ok(false)
            }
        }
    }

    async fn refuse(&mut self, reply: MailReply) -> Result<(), Over> {
        match reply {
            MailReply::Line(line) => self.say(&line).await,
            MailReply::HangUp | MailReply::TakeAndHangUp => Err(Over),
            MailReply::Silence => {
                std::future::pending::<()>().await;
                Err(Over)
            }
        }
    }

    async fn say(&mut self, text: &str) -> Result<(), Over> {
        let reply = format!("{text}\r\n");
        self.stream.get_mut().write_all(reply.as_bytes()).await?;
        Ok(())
    }

    async fn line(&mut self) -> Result<String, Over> {
        let mut bytes = Vec::new();
        if self.stream.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(Over);
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// What stands in the angle brackets.
fn path(line: &str) -> String {
    let inside = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(address, _)| address.to_owned())
}
