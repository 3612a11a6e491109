//! The simulated Salla in a separate process: this program again, with another first argument. Each
//! line that it reads is a command, and each line that it writes the result.

use std::process::Stdio;

use anyhow::Context as _;
use entrypoints::display::line;
use salla_simulator::{AppAge, Endpoint, Plan, Scenario, ShopSpec, Simulator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::asked::Asked;
use crate::usage::{self, Cpu};

pub(crate) const SIMULATE: &str = "a-simulator";

const RESET: &str = "reset";
const COUNT: &str = "count";

/// Where it is, and how to get in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) api_url: String,
    pub(crate) accounts_url: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    /// Access token and refresh token of each shop.
    pub(crate) shops: Vec<(String, String)>,
}

/// What its ledgers say.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledgers {
    pub(crate) requests: u64,
    pub(crate) throttled: u64,
    /// Shops of which a request was refused, and how many of the one with most.
    pub(crate) throttled_shops: u64,
    pub(crate) most_throttled: u64,
    pub(crate) forbidden: u64,
    pub(crate) sent_while_held: u64,
    /// Of the shop that was asked most often.
    pub(crate) most_in_60s: u64,
    pub(crate) customers: u64,
    pub(crate) most_customers_in_600s: u64,
    pub(crate) cpu: Cpu,
    pub(crate) peak_mb: f64,
}

impl Ledgers {
    fn read(simulator: &Simulator) -> anyhow::Result<Self> {
        let all = simulator.ledger();
        let shops = simulator.shops();
        let throttled = shops.iter().map(|shop| shop.ledger().throttled);
        let throttled: Vec<u64> = throttled.filter(|refused| *refused > 0).collect();
        let most = shops.iter().map(|shop| shop.ledger().most_in_60s).max();
        let customers = all
            .by_endpoint
            .iter()
            .filter(|(endpoint, _)| matches!(endpoint, Endpoint::Customers | Endpoint::Customer))
            .map(|(_, count)| count)
            .sum();
        Ok(Self {
            requests: all.requests,
            throttled: all.throttled,
            throttled_shops: throttled.len() as u64,
            most_throttled: throttled.iter().copied().max().unwrap_or_default(),
            forbidden: all.by_status.get(&403).copied().unwrap_or_default(),
            sent_while_held: all.sent_while_held,
            most_in_60s: most.unwrap_or_default(),
            customers,
            most_customers_in_600s: all.most_customers_in_600s,
            cpu: usage::of_ourselves()?,
            peak_mb: usage::peak_memory(std::process::id())?,
        })
    }
}

/// The other end of it.
pub(crate) struct Salla {
    pub(crate) address: Address,
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Salla {
    pub(crate) async fn start(asked: &Asked) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SIMULATE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut questions = child.stdin.take().context("no way in")?;
        let answers = child.stdout.take().context("no way out")?;
        let mut answers = BufReader::new(answers).lines();
        let asked = serde_json::to_string(asked)?;
        let address = ask(&mut questions, &mut answers, &asked).await?;
        Ok(Self {
            address,
            child,
            questions,
            answers,
        })
    }

    pub(crate) async fn reset(&mut self) -> anyhow::Result<Ledgers> {
        ask(&mut self.questions, &mut self.answers, RESET).await
    }

    pub(crate) async fn count(&mut self) -> anyhow::Result<Ledgers> {
        ask(&mut self.questions, &mut self.answers, COUNT).await
    }

    /// The end of its input ends it.
    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        drop(self.questions);
        self.child.wait().await?;
        Ok(())
    }
}

async fn ask<T: DeserializeOwned>(
    questions: &mut ChildStdin,
    answers: &mut Lines<BufReader<ChildStdout>>,
    question: &str,
) -> anyhow::Result<T> {
    questions
        .write_all(format!("{question}\n").as_bytes())
        .await?;
    let answer = answers.next_line().await?;
    Ok(serde_json::from_str(
        &answer.context("the simulator ended early")?,
    )?)
}

pub(crate) async fn simulate() -> anyhow::Result<()> {
    let first = question().await?.context("nothing was asked")?;
    let asked: Asked = serde_json::from_str(&first)?;
    let simulator = Simulator::start(scenario(&asked)).await?;
    let shops = simulator.shops();
    let address = Address {
        api_url: simulator.api_url(),
        accounts_url: simulator.accounts_url(),
        client_id: simulator.client_id().to_owned(),
        client_secret: simulator.client_secret().to_owned(),
        shops: shops
            .iter()
            .map(|shop| (shop.access_token().into(), shop.refresh_token().into()))
            .collect(),
    };
    line(serde_json::to_string(&address)?);
    while let Some(question) = question().await? {
        if question == RESET {
            simulator.reset_ledger();
        }
        line(serde_json::to_string(&Ledgers::read(&simulator)?)?);
    }
    Ok(())
}

/// The next line, until the end of the input.
async fn question() -> anyhow::Result<Option<String>> {
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await?;
    Ok(line.transpose()?)
}

fn scenario(asked: &Asked) -> Scenario {
    let shop = |seed| ShopSpec {
        orders: asked.orders,
        customers: 20,
        products: 20,
        categories: 4,
        months: 11,
        plan: Plan::Plus,
        seed,
        ..ShopSpec::default()
    };
    let scenario = Scenario {
        shop: shop(1),
        shops: (2..=asked.shops).map(shop).collect(),
        app_age: AppAge::FullDetails,
        ..Scenario::default()
    };
    scenario.moved_to(salla_simulator::present())
}
