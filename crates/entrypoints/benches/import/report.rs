//! The tables, and the file that other programs read.

use std::path::Path;

use anyhow::Context as _;
use entrypoints::display::{count, lines, table::Table};
use serde::{Deserialize, Serialize};

use crate::api::Served;
use crate::chart;
use crate::cost::Cost;
use crate::limits::LimitResult;
use crate::memory::Held;
use crate::network::Reached;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) throughput: Vec<Cost>,
    #[serde(default)]
    pub(crate) network: Vec<Reached>,
    #[serde(default)]
    pub(crate) script: Vec<Cost>,
    pub(crate) growth: Vec<Cost>,
    pub(crate) limits: Vec<LimitResult>,
    #[serde(default)]
    pub(crate) api: Option<Served>,
    #[serde(default)]
    pub(crate) memory: Vec<Held>,
}

impl Report {
    pub(crate) fn throughput_table(&self) -> String {
        costs_table(&self.throughput)
    }

    pub(crate) fn script_table(&self) -> String {
        costs_table(&self.script)
    }

    pub(crate) fn network_table(&self) -> String {
        let mut table = Table::new([
            "",
            "import s",
            "/ first",
            "COPY s",
            "import / COPY",
            "round trips",
            "others' CPU s",
        ]);
        let first = self.network.first().map_or(1.0, |way| way.import.seconds);
        for way in &self.network {
            let (import, copy) = (way.import.seconds, way.copy.seconds);
            table.row([
                way.import.name.clone(),
                format!("{import:.2}"),
                format!("{:.2}", import / first),
                format!("{copy:.2}"),
                format!("{:.2}", import / copy),
                way.round_trips.map_or_else(|| "-".to_owned(), count),
                format!("{:.1}", way.import.others_cpu),
            ]);
        }
        table.to_string()
    }

    pub(crate) fn api_table(&self) -> String {
        let mut table = Table::new(["", "each second", "p50 ms", "p99 ms", "wanted"]);
        let Some(served) = &self.api else {
            return table.to_string();
        };
        for (name, timed, wanted) in [
            ("status", &served.status, "p99 within 100 ms"),
            ("start", &served.start, "p99 within 500 ms"),
            ("webhooks", &served.webhooks, "500 each second"),
        ] {
            table.row([
                name.to_owned(),
                format!("{:.0}", timed.per_second),
                format!("{:.1}", timed.p50_ms),
                format!("{:.1}", timed.p99_ms),
                wanted.to_owned(),
            ]);
        }
        table.to_string()
    }

    pub(crate) fn memory_table(&self) -> String {
        let mut table = Table::new(["", "shops", "seconds", "sent MB", "peak MB", "wanted"]);
        for held in &self.memory {
            table.row([
                held.what.clone(),
                held.shops.to_string(),
                format!("{:.1}", held.seconds),
                format!("{:.0}", held.sent_mb),
                format!("{:.0}", held.peak_mb),
                "within 256 MB".to_owned(),
            ]);
        }
        table.to_string()
    }

    pub(crate) fn growth_table(&self) -> String {
        let mut table = Table::new([
            "orders",
            "seconds",
            "orders/s",
            "µs/order",
            "client",
            "database",
            "peak MB",
            "others' CPU s",
        ]);
        for cost in &self.growth {
            let per_order = |cpu| format!("{:.0}", cost.per_order(cpu));
            table.row([
                count(cost.orders),
                format!("{:.2}", cost.seconds),
                count(cost.per_second() as u64),
                per_order(cost.cpu()),
                per_order(cost.client_cpu),
                per_order(cost.database_cpu),
                format!("{:.0}", cost.peak_mb),
                format!("{:.1}", cost.others_cpu),
            ]);
        }
        table.to_string()
    }

    pub(crate) fn limits_table(&self) -> String {
        let mut table = Table::new([
            "plan",
            "case",
            "necessary",
            "sent",
            "floor s",
            "took s",
            "ratio",
            "429s",
            "newest 30 days s",
        ]);
        for kept in &self.limits {
            let newest = kept.newest_days_seconds;
            table.row([
                kept.plan.clone(),
                kept.what.clone(),
                count(kept.necessary),
                count(kept.sent),
                count(kept.floor_seconds),
                format!("{:.1}", kept.seconds),
                format!("{:.3}", kept.ratio()),
                kept.throttled.to_string(),
                newest.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}")),
            ]);
        }
        table.to_string()
    }

    /// Writes the numbers and, where all of them are there, the chart. What was not
    /// measured this time stays as it was measured last.
    pub(crate) fn save(mut self) -> anyhow::Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join("target/bench");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("results.json");
        if let Ok(former) = std::fs::read_to_string(&file) {
            self.complete(serde_json::from_str(&former).unwrap_or_default());
        }
        std::fs::write(&file, serde_json::to_string_pretty(&self)?)?;
        lines("\nThe numbers are in target/bench/results.json.");
        if !(self.throughput.is_empty() || self.growth.is_empty() || self.limits.is_empty()) {
            let chart = root.join("docs/performance.svg");
            std::fs::write(&chart, chart::draw(&self)).context("writing the chart")?;
            lines("The chart is docs/performance.svg.");
        }
        Ok(())
    }

    fn complete(&mut self, former: Self) {
        if self.throughput.is_empty() {
            self.throughput = former.throughput;
        }
        if self.network.is_empty() {
            self.network = former.network;
        }
        if self.script.is_empty() {
            self.script = former.script;
        }
        if self.growth.is_empty() {
            self.growth = former.growth;
        }
        if self.limits.is_empty() {
            self.limits = former.limits;
        }
        if self.api.is_none() {
            self.api = former.api;
        }
        if self.memory.is_empty() {
            self.memory = former.memory;
        }
    }
}

fn costs_table(costs: &[Cost]) -> String {
    let mut table = Table::new([
        "",
        "seconds",
        "orders/s",
        "µs/order",
        "client",
        "database",
        "simulator",
        "peak MB",
        "others' CPU s",
    ]);
    for cost in costs {
        let per_order = |cpu| format!("{:.0}", cost.per_order(cpu));
        table.row([
            cost.name.clone(),
            format!("{:.2}", cost.seconds),
            count(cost.per_second() as u64),
            per_order(cost.cpu()),
            per_order(cost.client_cpu),
            per_order(cost.database_cpu),
            per_order(cost.simulator_cpu),
            format!("{:.0}", cost.peak_mb),
            format!("{:.1}", cost.others_cpu),
        ]);
    }
    table.to_string()
}
