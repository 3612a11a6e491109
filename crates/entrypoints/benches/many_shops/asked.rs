//! What was asked for on the command line.

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// In this time even a spent budget comes back.
const STANDSTILL: Duration = Duration::from_secs(90);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) shops: u64,
    pub(crate) orders: u64,
    pub(crate) share: f64,
    pub(crate) workers: u64,
    pub(crate) kill_one_after: Option<u64>,
    pub(crate) whole: u64,
    pub(crate) patience: Duration,
    pub(crate) connections: u64,
}

impl Asked {
    pub(crate) fn read(arguments: &[String]) -> anyhow::Result<Self> {
        let mut asked = Self {
            shops: 1_000,
            orders: 300,
            share: 1.0,
            workers: 1,
            kill_one_after: None,
            whole: u64::MAX,
            patience: STANDSTILL,
            connections: 16,
        };
        let mut places = 0;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--bench" {
                continue;
            }
            if !argument.starts_with("--") {
                match places {
                    0 => asked.shops = argument.parse()?,
                    1 => asked.orders = argument.parse()?,
                    2 => asked.share = argument.parse()?,
                    _ => anyhow::bail!("{argument}: there are at most three numbers"),
                }
                places += 1;
                continue;
            }
            let value = arguments.next();
            let number: u64 = value
                .with_context(|| format!("{argument} needs a number"))?
                .parse()?;
            match argument.as_str() {
                "--workers" => asked.workers = number,
                "--kill-one-after" => asked.kill_one_after = Some(number),
                "--whole" => asked.whole = number,
                "--patience" => asked.patience = Duration::from_secs(number),
                "--connections" => asked.connections = number,
                _ => anyhow::bail!("{argument} is none of the options"),
            }
        }
        Ok(asked)
    }

    pub(crate) fn all_orders(&self) -> u64 {
        self.shops * self.orders
    }

    /// What Salla and the share allow all shops of the plan Plus together in one second:
    /// 120 requests a minute, and beyond them one a second where nothing is held back.
    pub(crate) fn requests_per_second(&self) -> f64 {
        let overflow = if self.share < 1.0 { 0.0 } else { 1.0 };
        let each = (120.0 * self.share).floor() / 60.0 + overflow;
        each * self.shops as f64
    }
}
