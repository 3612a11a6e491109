//! How long the API and the webhooks take while the same process imports a shop.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use entrypoints::config::{AppKeys, AppSettings, DatabaseSettings, SallaSettings};
use entrypoints::wiring;
use importer::ports::api_access::{ApiScope, ApiTokens as _, NewApiToken};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::connections::Tokens;
use ring::hmac;
use ring::rand::SystemRandom;
use salla_client::http::http_client;
use salla_simulator::{Plan, Simulator};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::server::BenchServer;
use crate::throughput::small;

const KEY: &str = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECRET: &str = "the webhook secret of the benchmark";

const REQUESTS_PER_SECOND: u64 = 200;
/// One request of this many starts the import, the others read its state.
const STARTS: u64 = 5;
const SECONDS: u64 = 20;
const WEBHOOK_CLIENTS: u64 = 32;
const WEBHOOK_SECONDS: u64 = 10;

/// What requests of one kind took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Timed {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) status: Timed,
    pub(crate) start: Timed,
    pub(crate) webhooks: Timed,
}

/// A server that does not outlive the measurement.
struct Process {
    child: Child,
    address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) async fn measure(server: &BenchServer) -> anyhow::Result<Served> {
    const NAME: &str = "bench_api";
    let scenario = small(50_000, Plan::Pro).moved_to(salla_simulator::present());
    let simulator = Simulator::start(scenario).await?;
    let url = server.new_database(NAME).await?;
    let token = prepare(&simulator, &url).await?;
    let served = {
        let process = serve(&simulator, &url)?;
        let client = Arc::new(Caller {
            http: http_client()?,
            sync: format!(
                "http://{}/api/v1/merchants/{}/sync",
                process.address,
                simulator.merchant_id()
            ),
            token,
        });
        client.start().await?;
        client.until_it_runs().await?;
        let (status, start) = load(&client).await?;
        let webhooks = webhooks(&process.address, simulator.merchant_id()).await?;
        client.still_runs().await?;
        Served {
            status,
            start,
            webhooks,
        }
    };
    server.drop_database(NAME).await?;
    Ok(served)
}

/// A connected shop, roles, and a token of the API.
async fn prepare(simulator: &Simulator, url: &str) -> anyhow::Result<String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let settings = DatabaseSettings::Url(url.to_owned().into());
    let key = Some(KEY.to_owned().into());
    let open = wiring::open_database(&settings, key, clock.clone()).await?;
    open.database.create_roles().await?;
    let salla = SallaSettings {
        app: AppSettings {
            api_url: simulator.api_url().parse()?,
            accounts_url: simulator.accounts_url().parse()?,
            egress_group: "default".to_owned(),
            keys: Some(AppKeys {
                client_id: simulator.client_id().to_owned(),
                client_secret: simulator.client_secret().into(),
            }),
        },
        tokens: Tokens {
            access: simulator.access_token().into(),
            refresh: Some(simulator.refresh_token().into()),
            expires_at: None,
            scope: None,
        },
    };
    wiring::connect_and_store(&open, &salla, clock).await?;
    let token = web::api::new_token(&SystemRandom::new()).context("no random numbers")?;
    let new = NewApiToken {
        name: "bench".to_owned(),
        hash: web::api::token_hash(token.expose_secret()),
        scopes: vec![ApiScope::Read, ApiScope::Operate],
        merchant: None,
        expires_at: None,
    };
    open.database.api_tokens().create(&new).await?;
    open.database.close().await;
    Ok(token.expose_secret().to_owned())
}

fn serve(simulator: &Simulator, url: &str) -> anyhow::Result<Process> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_salla-sync"))
        // The log says where it listens.
        .args(["--log", "info", "serve"])
        .args(["--listen", "127.0.0.1:0", "--with-worker"])
        .env("DATABASE_URL", url)
        .env("SALLA_SYNC_KEY", KEY)
        .env("SALLA_API_URL", simulator.api_url())
        .env("SALLA_ACCOUNTS_URL", simulator.accounts_url())
        .env("SALLA_CLIENT_ID", simulator.client_id())
        .env("SALLA_CLIENT_SECRET", simulator.client_secret())
        .env("SALLA_WEBHOOK_SECRET", SECRET)
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("no log")?).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("Serving on http://")?;
        Some(rest.split(". ").next()?.to_owned())
    });
    // A log without a reader would block the server.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(Process {
        child,
        address: address.context("the server did not begin")?,
    })
}

struct Caller {
    http: reqwest::Client,
    sync: String,
    token: String,
}

impl Caller {
    async fn start(&self) -> anyhow::Result<()> {
        let request = self.http.post(&self.sync).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json");
        let response = request.body(r#"{"syncDepthMonths":12}"#).send().await?;
        ensure!(response.status().as_u16() == 202, "{}", response.status());
        response.bytes().await?;
        Ok(())
    }

    async fn status(&self) -> anyhow::Result<serde_json::Value> {
        let request = self.http.get(&self.sync).bearer_auth(&self.token);
        let response = request.send().await?;
        ensure!(response.status().as_u16() == 200, "{}", response.status());
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }

    async fn until_it_runs(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let status = self.status().await?;
            if status["run"]["resources"]["orders"].as_u64().unwrap_or(0) > 0 {
                return Ok(());
            }
            ensure!(began.elapsed().as_secs() < 60, "no import runs: {status}");
            SystemClock::real().sleep(Duration::from_millis(100)).await;
        }
    }

    /// What was measured after the import's end says nothing about one that runs.
    async fn still_runs(&self) -> anyhow::Result<()> {
        let status = self.status().await?;
        let state = &status["run"]["state"];
        ensure!(
            state == "IN_PROGRESS",
            "the import ended too early: {state}"
        );
        Ok(())
    }
}

/// Requests are sent when they are due, whether or not those before them are done: each one's
/// time counts from when it was due.
async fn load(client: &Arc<Caller>) -> anyhow::Result<(Timed, Timed)> {
    let began = Instant::now();
    let mut requests = JoinSet::new();
    for number in 0..REQUESTS_PER_SECOND * SECONDS {
        let due = began + Duration::from_micros(number * 1_000_000 / REQUESTS_PER_SECOND);
        tokio::time::sleep_until(due).await;
        let client = client.clone();
        requests.spawn(async move {
            let starts = number.is_multiple_of(STARTS);
            match starts {
                true => client.start().await?,
                false => drop(client.status().await?),
            }
            anyhow::Ok((starts, due.elapsed()))
        });
    }
    let (mut status, mut start) = (Vec::new(), Vec::new());
    while let Some(done) = requests.join_next().await {
        let (starts, took) = done??;
        let times = if starts { &mut start } else { &mut status };
        times.push(took);
    }
    let whole = began.elapsed();
    Ok((timed(status, whole), timed(start, whole)))
}

async fn webhooks(address: &str, merchant: i64) -> anyhow::Result<Timed> {
    let (http, url) = (http_client()?, format!("http://{address}/webhooks/salla"));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..WEBHOOK_CLIENTS {
        let (http, url) = (http.clone(), url.clone());
        clients.spawn(async move {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            let mut times = Vec::new();
            for number in 0_u64.. {
                let sent = Instant::now();
                if began.elapsed().as_secs() >= WEBHOOK_SECONDS {
                    break;
                }
                let id = 1 + client + number * WEBHOOK_CLIENTS;
                let body = format!(
                    r#"{{"event":"order.updated","merchant":{merchant},"created_at":"Mon Nov 23 2026 14:03:11 GMT+0300","data":{{"id":{id}}}}}"#
                );
                let signature = hex::encode(hmac::sign(&key, body.as_bytes()));
                let request = http.post(&url).header("content-type", "application/json");
                let request = request.header("x-salla-security-strategy", "Signature");
                let request = request.header("x-salla-signature", signature);
                let response = request.body(body).send().await?;
                ensure!(response.status().as_u16() == 200, "{}", response.status());
                response.bytes().await?;
                times.push(sent.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = clients.join_next().await {
        all.extend(times??);
    }
    Ok(timed(all, began.elapsed()))
}

fn timed(mut times: Vec<Duration>, whole: Duration) -> Timed {
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        let time = times.get(place.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    };
    Timed {
        per_second: times.len() as f64 / whole.as_secs_f64(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    }
}
