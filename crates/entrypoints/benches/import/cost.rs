//! One measurement of work on orders, by process.

use serde::{Deserialize, Serialize};

use crate::network::Way;
use crate::roles::{Address, Job, Role, Usage};
use crate::server::BenchServer;
use crate::usage::{self, Cpu};

const DATABASE: &str = "salla_bench";

/// What some orders cost; processor time in seconds, memory in megabytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) name: String,
    pub(crate) orders: u64,
    pub(crate) seconds: f64,
    pub(crate) client_cpu: f64,
    pub(crate) database_cpu: f64,
    pub(crate) simulator_cpu: f64,
    /// What everything else on the machine used meanwhile: where this is not small,
    /// the seconds say little.
    pub(crate) others_cpu: f64,
    pub(crate) peak_mb: f64,
}

impl Cost {
    pub(crate) fn cpu(&self) -> f64 {
        self.client_cpu + self.database_cpu + self.simulator_cpu
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.orders as f64 / self.seconds
    }

    /// Microseconds of processor time for one order.
    pub(crate) fn per_order(&self, cpu: f64) -> f64 {
        cpu * 1e6 / self.orders as f64
    }
}

/// What the machine and the server had used when a measurement began.
pub(crate) struct Baseline {
    machine: Cpu,
    server: Cpu,
}

impl Baseline {
    pub(crate) fn now(server: &BenchServer) -> anyhow::Result<Self> {
        Ok(Self {
            machine: usage::of_machine()?,
            server: server.cpu()?,
        })
    }

    pub(crate) fn cost(
        &self,
        server: &BenchServer,
        (name, orders): (&str, u64),
        spent: Usage,
        simulator: Cpu,
    ) -> anyhow::Result<Cost> {
        let database = server.cpu()? - self.server;
        let all = usage::of_machine()? - self.machine;
        let others = all - database - spent.cpu - simulator;
        Ok(Cost {
            name: name.to_owned(),
            orders,
            seconds: spent.seconds,
            client_cpu: spent.cpu.0,
            database_cpu: database.0,
            simulator_cpu: simulator.0,
            others_cpu: others.0.max(0.0),
            peak_mb: spent.peak_mb,
        })
    }
}

/// Imports a shop into a new database over a way to it; the database stays until the next
/// one.
pub(crate) async fn of_import(
    server: &BenchServer,
    (name, way): (&str, &Way),
    scenario: &salla_simulator::Scenario,
    keep_raw: bool,
) -> anyhow::Result<(Cost, String)> {
    let database_url = server.new_database(DATABASE).await?;
    let before = Baseline::now(server)?;
    let mut simulator = Role::start(crate::roles::SERVE, scenario).await?;
    let address: Address = simulator.answer().await?;
    let job = Job {
        address,
        database_url: server.url_over(way, DATABASE),
        keep_raw,
    };
    let mut importer = Role::start(crate::roles::IMPORT, &job).await?;
    let spent: Usage = importer.answer().await?;
    let simulator = simulator.finish().await?;
    let cost = before.cost(server, (name, scenario.shop.orders), spent, simulator)?;
    Ok((cost, database_url))
}
