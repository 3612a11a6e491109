//! What Salla sends to the app, and how it travels: signed, up to three times, twice, late, in
//! any order (docs.salla.dev/421119m0).

use crate::shop::riyadh::wall_clock;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use ring::hmac;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Deliveries that were not received are made this often.
const TRIES: u32 = 3;

/// One webhook, as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub event: String,
    pub body: Vec<u8>,
}

impl Webhook {
    /// App events say when they happened without a zone, in Riyadh.
    pub(crate) fn of_app(
        event: &str,
        merchant: i64,
        at: Timestamp,
        data: serde_json::Value,
    ) -> Self {
        let created_at = wall_clock(at.as_second()).strftime("%Y-%m-%d %H:%M:%S");
        let body = format!(
            r#"{{"event":"{event}","merchant":{merchant},"created_at":"{created_at}","data":{data}}}"#
        );
        Self {
            event: event.to_owned(),
            body: body.into_bytes(),
        }
    }

    /// Events of the shop say it as JavaScript does, and slashes come escaped as from PHP.
    pub(crate) fn of_record(event: &str, merchant: i64, now: i64, id: i64) -> Self {
        let created_at = wall_clock(now).strftime("%a %b %d %Y %H:%M:%S GMT+0300");
        let data = match event {
            // The number at the top is that of the entry in the order's history.
            "order.status.updated" => {
                format!(
                    r#"{{"id":{},"status":"قيد التنفيذ","order":{{"id":{id}}}}}"#,
                    id / 2
                )
            }
            _ => format!(r#"{{"id":{id},"urls":{{"admin":"https:\/\/s.salla.example\/{id}"}}}}"#),
        };
        let body = format!(
            r#"{{"event":"{event}","merchant":{merchant},"created_at":"{created_at}","data":{data}}}"#
        );
        Self {
            event: event.to_owned(),
            body: body.into_bytes(),
        }
    }

    /// `X-Salla-Signature` with this secret.
    pub fn signature(&self, secret: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, &self.body);
        tag.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// How the app knows that Salla sent a webhook.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// With the app's secret.
    Signature(String),
    /// The secret itself.
    Token(String),
    None,
}

/// Where the app takes webhooks.
#[derive(Clone, Debug)]
pub struct WebhookTarget {
    pub address: SocketAddr,
    pub path: String,
    pub strategy: Strategy,
}

/// What happens to webhooks on their way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disorder {
    pub seed: u64,
    /// In another order than that in which they were made.
    pub shuffled: bool,
    /// How many of ten come twice.
    pub doubled: u8,
    /// How many of ten never come.
    pub lost: u8,
}

/// What became of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub event: String,
    /// The status of each try; 0 where there was no response. Empty: it was lost.
    pub statuses: Vec<u16>,
}

impl WebhookTarget {
    /// One try, and the status that came of it.
    pub async fn send(&self, webhook: &Webhook) -> anyhow::Result<u16> {
        let mut request = Request::post(&self.path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .header("user-agent", "Salla");
        request = match &self.strategy {
            Strategy::Signature(secret) => request
                .header("x-salla-security-strategy", "Signature")
                .header("x-salla-signature", webhook.signature(secret)),
            Strategy::Token(token) => request
                .header("x-salla-security-strategy", "Token")
                .header("authorization", token),
            Strategy::None => request,
        };
        let request = request.body(Full::new(Bytes::from(webhook.body.clone())))?;
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.context("no response");
        drop(sender);
        connection.abort();
        Ok(response?.status().as_u16())
    }

    /// Delivers all of them; each up to three times, until it is received.
    pub async fn deliver(&self, webhooks: &[Webhook], disorder: Disorder) -> Vec<Delivery> {
        let mut random = fastrand::Rng::with_seed(disorder.seed);
        let mut on_the_way: Vec<(&Webhook, bool)> = Vec::new();
        for webhook in webhooks {
            let is_lost = random.u8(0..10) < disorder.lost;
            on_the_way.push((webhook, is_lost));
            if random.u8(0..10) < disorder.doubled {
                on_the_way.push((webhook, false));
            }
        }
        if disorder.shuffled {
            random.shuffle(&mut on_the_way);
        }
        let mut deliveries = Vec::with_capacity(on_the_way.len());
        for (webhook, is_lost) in on_the_way {
            let mut statuses = Vec::new();
            while !is_lost && statuses.len() < TRIES as usize {
                let status = self.send(webhook).await.unwrap_or(0);
                statuses.push(status);
                if matches!(status, 200 | 201) {
                    break;
                }
            }
            deliveries.push(Delivery {
                event: webhook.event.clone(),
                statuses,
            });
        }
        deliveries
    }
}
