//! What the import costs: processor, memory and time, beside a client that only
//! downloads the same pages and a COPY of the same rows, and its time within Salla's
//! limits beside the floor that they set.
//!
//! `make bench`; `cargo bench -p entrypoints --bench import -- --full` adds a million
//! orders, `--orders N` changes the size, `--only PART` runs a part
//! (throughput, network, script, growth, pacing, api, memory),
//! `--plan Plus` the pacing of one plan's imports.
//! Numbers of one run can be compared with each other, not with those of another
//! machine. It reads `/proc`, so it needs Linux.

mod api;
mod chart;
mod cost;
mod download;
mod limits;
mod link;
mod memory;
mod network;
mod plain_copy;
mod report;
mod roles;
mod script;
mod server;
mod throughput;
mod usage;

use anyhow::{Context as _, bail};
use entrypoints::display::lines;

use crate::report::Report;
use crate::server::BenchServer;

/// What was asked for on the command line.
#[derive(Clone, Debug)]
struct Options {
    orders: u64,
    full: bool,
    only: Option<String>,
    plan: Option<String>,
}

impl Options {
    fn runs(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn main() -> anyhow::Result<()> {
    entrypoints::memory::return_memory_eagerly();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match arguments.first().map(String::as_str) {
        Some(roles::SERVE) => runtime.block_on(roles::serve()),
        Some(roles::IMPORT) => runtime.block_on(roles::import_once()),
        Some(roles::DOWNLOAD) => runtime.block_on(download::download_once()),
        _ => runtime.block_on(measure(options(&arguments)?)),
    }
}

fn options(arguments: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        orders: 50_000,
        full: false,
        only: None,
        plan: None,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says so to every benchmark.
            "--bench" => {}
            "--full" => options.full = true,
            "--orders" => {
                let number = arguments.next().context("--orders needs a number")?;
                options.orders = number.parse().context("--orders needs a number")?;
            }
            "--only" => {
                let part = arguments.next().context("--only needs a part")?;
                options.only = Some(part.clone());
            }
            "--plan" => {
                let plan = arguments.next().context("--plan needs a plan")?;
                options.plan = Some(plan.clone());
            }
            other => bail!("{other} is no option of this benchmark"),
        }
    }
    Ok(options)
}

async fn measure(options: Options) -> anyhow::Result<()> {
    let server = BenchServer::start()?;
    let mut report = Report::default();
    if options.runs("throughput") {
        lines("Whole orders as fast as they come, simulator without limits:");
        report.throughput = throughput::measure(&server, options.orders).await?;
        lines(report.throughput_table());
    }
    if options.runs("network") {
        lines("\nThe same over the ways to a database:");
        report.network = network::measure(&server, options.orders).await?;
        lines(report.network_table());
    }
    if options.runs("script") {
        lines("\nBeside a script in Python, both over TCP:");
        report.script = script::measure(&server, options.orders).await?;
        match report.script.is_empty() {
            true => lines("Not measured: python3 has no aiohttp, asyncpg and orjson."),
            false => lines(report.script_table()),
        }
    }
    if options.runs("growth") {
        lines("\nThe cost of an order as the shop grows:");
        report.growth = throughput::measure_growth(&server, options.full).await?;
        lines(report.growth_table());
    }
    if options.runs("pacing") {
        lines("\nWithin Salla's limits, on scaled time:");
        report.limits = limits::measure(&server, options.plan.as_deref()).await?;
        lines(report.limits_table());
    }
    if options.runs("api") {
        lines("\nThe server while an import runs in the same process:");
        report.api = Some(api::measure(&server).await?);
        lines(report.api_table());
    }
    if options.runs("memory") {
        lines("\nThe memory of a worker whose shops answer as much as is ever read:");
        report.memory = memory::measure(&server).await?;
        lines(report.memory_table());
    }
    report.save()
}
