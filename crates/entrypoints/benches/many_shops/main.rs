//! Many shops in one worker or in many: how much of their joint budgets is used, what it costs
//! the processors, and whether any budget is exceeded.
//!
//! `cargo bench -p entrypoints --bench many_shops -- SHOPS ORDERS [SHARE]`, and:
//!
//! - `--workers N` processes on one database, behind one address
//! - `--kill-one-after SECONDS` ends one of them without warning, and shows how long each
//!   of its runs stood still
//! - `--whole N` imports the customers and products of only N shops, and of the others
//!   the orders alone
//! - `--patience SECONDS` ends it when nothing has arrived for that time
//! - `--connections N` to PostgreSQL for each worker
//!
//! Where the machine is too slow for all that the budgets of all shops allow, a SHARE
//! of them, such as 0.5, still shows whether each shop gets what is its own.
//!
//! The simulator runs at real pace. It, each worker and PostgreSQL are separate processes, so that
//! each one's processor time can be measured; it is read from `/proc`, so this needs Linux. The
//! lists of customers share one budget of Salla's for each address, which no worker can hurry and
//! which the import of orders must not wait for, so there are two ends: that of the orders and that
//! of the runs.

#![expect(
    clippy::disallowed_methods,
    reason = "what is measured is the time that really passes"
)]

mod asked;
mod database;
mod killed;
mod report;
mod salla;
mod starts;
#[path = "../import/usage.rs"]
mod usage;
mod workers;

use std::time::{Duration, Instant};

use entrypoints::display::line;

use crate::asked::Asked;
use crate::database::{Counts, MeasuredDatabase};
use crate::killed::Killed;
use crate::report::Sample;
use crate::salla::Salla;
use crate::workers::Workers;

const KEY: &str = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn main() -> anyhow::Result<()> {
    entrypoints::memory::return_memory_eagerly();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.first().map(String::as_str) {
        Some(salla::SIMULATE) => runtime.block_on(salla::simulate()),
        _ => runtime.block_on(measure(&Asked::read(&arguments)?)),
    }
}

async fn measure(asked: &Asked) -> anyhow::Result<()> {
    let mut salla = Salla::start(asked).await?;
    let database = MeasuredDatabase::start(asked).await?;
    let others = usage::of_machine()?;
    starts::start_all(asked, &salla.address, &database).await?;
    line(format_args!(
        "{} shops are connected and started, which took the server {:.1} s of processor time",
        asked.shops,
        database.cpu()?.0
    ));
    salla.reset().await?;
    let before = Sample::take(&mut salla, &database, &mut Workers::none()).await?;
    let begun = Instant::now();
    let mut workers = Workers::start(asked, &salla.address, &database)?;
    let mut killed = None;
    let mut last = Counts::default();
    let mut ends = report::Ends::default();
    let mut last_change = Duration::ZERO;
    // From when every shop has begun until the first may have ended.
    let mut steady: Vec<(f64, u64)> = Vec::new();
    let mut sample = before.clone();
    for second in 1_u64.. {
        let due = begun + Duration::from_secs(second);
        tokio::time::sleep_until(due.into()).await;
        if asked.kill_one_after == Some(second) {
            killed = Some(Killed::kill_one(&mut workers, &database).await?);
        }
        if let Some(killed) = &mut killed {
            killed.look(&database).await?;
        }
        sample = Sample::take(&mut salla, &database, &mut workers).await?;
        let elapsed = begun.elapsed();
        let counts = sample.counts;
        if elapsed.as_secs() > 60 && counts.orders < asked.all_orders() * 3 / 4 {
            steady.push((elapsed.as_secs_f64(), sample.salla.requests));
        }
        if counts != last {
            (last, last_change) = (counts, elapsed);
        }
        ends.note(asked, counts, elapsed);
        if second.is_multiple_of(5) {
            report::progress(elapsed, &sample);
        }
        let is_over = ends.runs.is_some() && killed.as_ref().is_none_or(Killed::is_over);
        if is_over || elapsed.saturating_sub(last_change) > asked.patience {
            break;
        }
    }
    report::totals(asked, &ends, &before, &sample, begun.elapsed());
    report::others(usage::of_machine()? - others, &sample);
    report::budgets(asked, &sample, &steady);
    if let Some(killed) = &killed {
        killed.report();
    }
    drop(workers);
    salla.finish().await
}
