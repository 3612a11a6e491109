//! `salla-sync serve` as a process, and browsers that come to it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use importer::ports::clock::{Clock as _, SystemClock};
use salla_client::http::token_client;
use salla_simulator::{Strategy, WebhookTarget};
use tokio::time::Instant;

use crate::process::program;
use crate::service::TestService;

pub(crate) const SECRET: &str = "the webhook secret of the test";
pub(crate) const FORMER: &str = "the former webhook secret";
/// Where browsers think that they are; they come to the test's port all the same.
pub(crate) const PUBLIC_URL: &str = "http://localhost:9";
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
    said: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    pub(crate) async fn start(service: &TestService, arguments: &[&str]) -> Self {
        Self::start_with(service, arguments, &[]).await
    }

    pub(crate) async fn start_with(
        service: &TestService,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let all = [
            &["--log", "debug", "serve", "--listen", "127.0.0.1:0"],
            arguments,
        ]
        .concat();
        let mut command = program(service, &all);
        command
            .env_remove("SALLA_ACCESS_TOKEN")
            .env_remove("SALLA_REFRESH_TOKEN")
            .env("SALLA_SYNC_PUBLIC_URL", PUBLIC_URL)
            .env("SALLA_WEBHOOK_SECRET", SECRET)
            .env("SALLA_WEBHOOK_SECRET_PREVIOUS", FORMER)
            .envs(settings.iter().copied());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (found, address) = tokio::sync::oneshot::channel();
        let mut found = Some(found);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines_so_far = said.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let address = line
                    .split_once("Serving on http://")
                    .and_then(|(_, rest)| rest.split(". ").next());
                if let Some(address) = address
                    && let Some(found) = found.take()
                {
                    let _ = found.send(address.parse::<SocketAddr>().unwrap());
                }
                let mut lines_so_far = lines_so_far.lock().unwrap();
                lines_so_far.push_str(&line);
                lines_so_far.push('\n');
            }
        });
        let address = tokio::time::timeout(TIMEOUT, address).await.unwrap();
        let address = address.unwrap_or_else(|_| panic!("{}", said.lock().unwrap()));
        Self {
            child,
            address,
            // It follows no redirect and uses no connection twice.
            http: token_client().unwrap(),
            said,
            reader: Some(reader),
        }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until the log contains `part`: a response may be here before its line.
    pub(crate) async fn until_said(&self, part: &str) {
        let began = Instant::now();
        while !self.said().contains(part) {
            assert!(
                began.elapsed() < TIMEOUT,
                "{part} is missing from {}",
                self.said()
            );
            pause().await;
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(self.url(path)).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }

    pub(crate) fn webhooks(&self, strategy: Strategy) -> WebhookTarget {
        WebhookTarget {
            address: self.address,
            path: "/webhooks/salla".to_owned(),
            strategy,
        }
    }

    pub(crate) fn signed(&self) -> WebhookTarget {
        self.webhooks(Strategy::Signature(SECRET.to_owned()))
    }

    /// Asks it to stop and says how it ended.
    pub(crate) async fn stop(mut self) -> (Option<i32>, String) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: kill(2) has no memory effects; the process is our own child.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(began.elapsed() < TIMEOUT, "{}", self.said());
            pause().await;
        };
        // The lines end with the process.
        self.reader.take().unwrap().join().unwrap();
        (status, self.said())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A merchant's browser, with its cookie.
#[derive(Clone)]
pub(crate) struct Browser<'a> {
    served: &'a Served,
    pub(crate) cookie: Option<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(served: &'a Served) -> Self {
        Self {
            served,
            cookie: None,
        }
    }

    /// Begins to connect, and says where it is sent.
    pub(crate) async fn begin(&mut self) -> String {
        let response = self.request("/connect").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 303);
        let header = |name: &str| {
            let value = response.headers().get(name).unwrap();
            value.to_str().unwrap().to_owned()
        };
        let cookie = header("set-cookie");
        for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        self.cookie = cookie.split(';').next().map(str::to_owned);
        header("location")
    }

    /// Goes to Salla, where the merchant decides; says with what it comes back.
    pub(crate) async fn decide(&self, salla: &str, decision: &str) -> String {
        let url = format!("{salla}&decision={decision}");
        let response = self.served.http.get(url).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 302);
        let location = response.headers()["location"].to_str().unwrap();
        let path = location.strip_prefix(PUBLIC_URL);
        path.unwrap_or_else(|| panic!("{location}")).to_owned()
    }

    pub(crate) async fn come_back(&self, path: &str) -> (u16, String) {
        let response = self.request(path).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }

    /// From the beginning to the last page.
    pub(crate) async fn connect(&mut self) -> (u16, String) {
        let salla = self.begin().await;
        let back = self.decide(&salla, "approve").await;
        self.come_back(&back).await
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.served.http.get(self.served.url(path));
        match &self.cookie {
            Some(cookie) => request.header("cookie", format!("theme=dark; {cookie}")),
            None => request,
        }
    }
}

/// Between two looks at something that will change.
pub(crate) async fn pause() {
    SystemClock::real().sleep(Duration::from_millis(20)).await;
}

/// Waits until `sql` gives what is expected.
pub(crate) async fn until<T>(service: &TestService, sql: &'static str, expected: T)
where
    T: PartialEq + std::fmt::Debug + Send + Unpin,
    for<'r> T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let pool = service.open.database.pool();
    let began = Instant::now();
    loop {
        let found: Option<Option<T>> = sqlx::query_scalar(sql).fetch_optional(pool).await.unwrap();
        let found = found.flatten();
        if found.as_ref() == Some(&expected) {
            return;
        }
        assert!(began.elapsed() < TIMEOUT, "{found:?} is not {expected:?}");
        pause().await;
    }
}

pub(crate) async fn one<T>(service: &TestService, sql: &'static str) -> T
where
    T: Send + Unpin,
    for<'r> T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let pool = service.open.database.pool();
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}
