//! What was measured, in lines.

use std::time::Duration;

use entrypoints::display::line;

use crate::asked::Asked;
use crate::database::{Counts, MeasuredDatabase, ServerCounts};
use crate::salla::{Ledgers, Salla};
use crate::usage::Cpu;
use crate::workers::{Used, Workers};

/// Everything that is counted, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) salla: Ledgers,
    pub(crate) counts: Counts,
    server: ServerCounts,
    server_cpu: Cpu,
    workers: Used,
}

impl Sample {
    pub(crate) async fn take(
        salla: &mut Salla,
        database: &MeasuredDatabase,
        workers: &mut Workers,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            salla: salla.count().await?,
            counts: database.counts().await?,
            server: database.server_counts().await?,
            server_cpu: database.cpu()?,
            workers: workers.used()?,
        })
    }

    fn workers_cpu(&self) -> f64 {
        self.workers.cpu.iter().map(|cpu| cpu.0).sum()
    }
}

/// When it was over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) orders: Option<Duration>,
    pub(crate) runs: Option<Duration>,
}

impl Ends {
    pub(crate) fn note(&mut self, asked: &Asked, counts: Counts, elapsed: Duration) {
        if counts.orders >= asked.all_orders() {
            self.orders.get_or_insert(elapsed);
        }
        if counts.complete >= asked.shops {
            self.runs.get_or_insert(elapsed);
        }
    }
}

pub(crate) fn progress(elapsed: Duration, sample: &Sample) {
    let Sample { salla, counts, .. } = sample;
    line(format_args!(
        "{:6.1} s  {:7} orders  {:5} runs complete  {:7} requests  {:4} refused  processors: \
         workers {:6.1} s, PostgreSQL {:6.1} s, simulator {:6.1} s",
        elapsed.as_secs_f64(),
        counts.orders,
        counts.complete,
        salla.requests,
        salla.throttled,
        sample.workers_cpu(),
        sample.server_cpu.0,
        salla.cpu.0,
    ));
}

/// The median and the most of what was counted.
pub(crate) fn spread(values: &[f64]) -> String {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match (values.get(values.len() / 2), values.last()) {
        (Some(median), Some(most)) => {
            format!(
                "{} times, median {median:.1}, at most {most:.1}",
                values.len()
            )
        }
        _ => "never".to_owned(),
    }
}

pub(crate) fn totals(
    asked: &Asked,
    ends: &Ends,
    before: &Sample,
    sample: &Sample,
    elapsed: Duration,
) {
    let when = |end: Option<Duration>| match end {
        Some(end) => format!("after {:.0} s", end.as_secs_f64()),
        None => "not yet".to_owned(),
    };
    let Sample { salla, counts, .. } = sample;
    line(format_args!(
        "{} workers, {} shops of {} orders, {} of them whole: all orders {}, all runs {} ({} \
         complete, {} failed, {} orders)",
        asked.workers,
        asked.shops,
        asked.orders,
        asked.whole.min(asked.shops),
        when(ends.orders),
        when(ends.runs),
        counts.complete,
        counts.failed,
        counts.orders,
    ));
    let seconds = elapsed.as_secs_f64();
    let workers = sample.workers_cpu();
    let server = (sample.server_cpu - before.server_cpu).0;
    let simulator = (salla.cpu - before.salla.cpu).0;
    line(format_args!(
        "processors, in seconds of {seconds:.0}: workers {workers:.1}, PostgreSQL {server:.1}, \
         simulator {simulator:.1}"
    ));
    let each = |seconds: f64, of: u64| 1e6 * seconds / of.max(1) as f64;
    line(format_args!(
        "for each order, in microseconds: workers {:.0}, PostgreSQL {:.0}, simulator {:.0}; \
         PostgreSQL for each run: {:.1} ms",
        each(workers, counts.orders),
        each(server, counts.orders),
        each(simulator, counts.orders),
        each(server, counts.complete) / 1e3,
    ));
    let transactions = sample.server.transactions - before.server.transactions;
    line(format_args!(
        "{transactions} transactions, {:.0} a second, {:.1} for each run, {:.0} microseconds of \
         PostgreSQL each; {:.0} requests a second",
        transactions as f64 / seconds,
        transactions as f64 / counts.complete.max(1) as f64,
        each(server, transactions),
        salla.requests as f64 / seconds,
    ));
    line(format_args!(
        "{} connections to the database, which is {:.0} MB; memory of a worker, in MB: {}; of \
         the simulator: {:.0}",
        sample.server.connections,
        sample.server.bytes as f64 / 1e6,
        spread(&sample.workers.peak_mb),
        salla.peak_mb,
    ));
}

/// What else has used the processors in the meantime, ourselves included.
pub(crate) fn others(machine: Cpu, sample: &Sample) {
    let ours = sample.workers_cpu() + sample.server_cpu.0 + sample.salla.cpu.0;
    line(format_args!(
        "other programs on this machine: {:.1} s of processor time",
        machine.0 - ours
    ));
}

pub(crate) fn budgets(asked: &Asked, sample: &Sample, steady: &[(f64, u64)]) {
    let salla = &sample.salla;
    line(format_args!(
        "{} requests, {} got a 429 (of {} shops, at most {} each), {} a 403, {} were sent in a cooldown; at most {} \
         for a shop in any 60 s; {} for customers, at most {} in any 600 s",
        salla.requests,
        salla.throttled,
        salla.throttled_shops,
        salla.most_throttled,
        salla.forbidden,
        salla.sent_while_held,
        salla.most_in_60s,
        salla.customers,
        salla.most_customers_in_600s,
    ));
    if let Some((first, last)) = whole_minutes(steady) {
        let rate = (last.1 - first.1) as f64 / (last.0 - first.0);
        line(format_args!(
            "second {:.0} to {:.0}: {rate:.0} requests a second, {:.1} % of the joint budgets",
            first.0,
            last.0,
            100.0 * rate / asked.requests_per_second()
        ));
    }
}

/// The longest stretch of whole minutes: budgets come back once a minute and are spent in
/// bursts, so any other stretch holds a burst too many or too few.
fn whole_minutes(steady: &[(f64, u64)]) -> Option<((f64, u64), (f64, u64))> {
    let (first, last) = (steady.first()?, steady.last()?);
    let minutes = ((last.0 - first.0) / 60.0).floor();
    let end = first.0 + minutes * 60.0;
    let last = steady.iter().find(|sample| sample.0 >= end)?;
    (minutes >= 1.0).then_some((*first, *last))
}
