//! The processes of a measurement: simulator, importer and server are separate, so that each one's
//! processor time and memory can be measured. The first two are this program again, with another
//! first argument; they exchange lines of JSON.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use entrypoints::config::{AppSettings, DatabaseSettings, EGRESS_GROUP, SallaSettings};
use entrypoints::display::line;
use entrypoints::wiring;
use importer::import::progress::ProgressTracker;
use importer::import::{ImportOutcome, ImportSettings, Importer, Observer, Reading, import};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::connections::Tokens;
use importer::ports::runs::RunOptions;
use importer::stop::stop_pair;
use salla_simulator::{Scenario, Simulator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::usage::{self, Cpu};

pub(crate) const SERVE: &str = "a-simulator";
pub(crate) const IMPORT: &str = "an-importer";
pub(crate) const DOWNLOAD: &str = "a-downloader";

/// Where a simulator is and how to get in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) api_url: String,
    pub(crate) accounts_url: String,
    pub(crate) token: String,
    pub(crate) now: jiff::Timestamp,
}

impl Address {
    pub(crate) fn of(simulator: &Simulator) -> Self {
        Self {
            api_url: simulator.api_url(),
            accounts_url: simulator.accounts_url(),
            token: simulator.access_token().to_owned(),
            now: simulator.clock().now(),
        }
    }
}

/// What an import is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) address: Address,
    pub(crate) database_url: String,
    pub(crate) keep_raw: bool,
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    pub(crate) cpu: Cpu,
    pub(crate) peak_mb: f64,
}

/// A process of this benchmark.
pub(crate) struct Role {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Role {
    pub(crate) async fn start(role: &str, task: &impl Serialize) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut orders = child.stdin.take().context("no way in")?;
        let answers = child.stdout.take().context("no way out")?;
        let mut task = serde_json::to_string(task)?;
        task.push('\n');
        orders.write_all(task.as_bytes()).await?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers).lines(),
        })
    }

    pub(crate) async fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let answer = self.answers.next_line().await?;
        let answer = answer.context("a process of the benchmark ended early")?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Closing its input ends a simulator.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Cpu> {
        drop(self.orders);
        let answer = self.answers.next_line().await?;
        self.child.wait().await?;
        Ok(serde_json::from_str(
            &answer.context("a simulator ended early")?,
        )?)
    }
}

/// The first line of the input.
pub(crate) fn task<T: DeserializeOwned>() -> anyhow::Result<T> {
    let mut text = String::new();
    std::io::stdin().read_line(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

pub(crate) async fn serve() -> anyhow::Result<()> {
    let scenario: Scenario = task()?;
    let simulator = Simulator::start(scenario).await?;
    line(serde_json::to_string(&Address::of(&simulator))?);
    let end_of_input = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(end_of_input).await??;
    line(serde_json::to_string(&usage::of_ourselves()?)?);
    Ok(())
}

pub(crate) async fn import_once() -> anyhow::Result<()> {
    let job: Job = task()?;
    let clock = Arc::new(SystemClock::scaled(job.address.now, 1.0));
    let begun = clock.monotonic();
    run(&job, clock.clone(), Arc::new(ProgressTracker::new().0), &()).await?;
    report(clock.monotonic() - begun)
}

/// The last words of a process that measures itself.
pub(crate) fn report(took: Duration) -> anyhow::Result<()> {
    let spent = Usage {
        seconds: took.as_secs_f64(),
        cpu: usage::of_ourselves()?,
        peak_mb: usage::peak_memory(std::process::id())?,
    };
    line(serde_json::to_string(&spent)?);
    Ok(())
}

/// One whole import, from the first connection to the certificate.
pub(crate) async fn run(
    job: &Job,
    clock: Arc<dyn Clock>,
    tracker: Arc<ProgressTracker>,
    observer: &dyn Observer,
) -> anyhow::Result<()> {
    let settings = DatabaseSettings::Url(job.database_url.as_str().into());
    let open = wiring::open_database(&settings, None, clock.clone()).await?;
    let salla = SallaSettings {
        app: AppSettings {
            api_url: job.address.api_url.parse()?,
            accounts_url: job.address.accounts_url.parse()?,
            egress_group: EGRESS_GROUP.to_owned(),
            keys: None,
        },
        tokens: Tokens {
            access: job.address.token.as_str().into(),
            refresh: None,
            expires_at: None,
            scope: None,
        },
    };
    let connected = wiring::connect_shop(&open, &salla, 1.0, clock.clone()).await?;
    let importer = Importer {
        platform: connected.platform,
        landing: open.landing(),
        runs: open.runs(),
        clock,
        tracker,
        settings: ImportSettings {
            lease: Duration::from_secs(3_600),
            ..wiring::import_settings(1.0)
        },
    };
    let options = RunOptions {
        months: 12,
        max_orders: None,
        keep_raw: job.keep_raw,
        only: None,
    };
    let (_handle, stop) = stop_pair();
    let outcome = import(
        &importer,
        &connected.shop,
        &options,
        Reading::Changes,
        observer,
        stop,
    )
    .await?;
    anyhow::ensure!(
        matches!(outcome, ImportOutcome::Completed(_)),
        "the import did not complete: {outcome:?}"
    );
    Ok(())
}
