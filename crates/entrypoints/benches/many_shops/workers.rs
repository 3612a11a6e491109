//! The processes that import, which are the program itself.

use std::process::{Child, Command, Stdio};

use crate::KEY;
use crate::asked::Asked;
use crate::database::MeasuredDatabase;
use crate::salla::Address;
use crate::usage::{self, Cpu};

/// A process that does not outlive the measurement.
struct Worker {
    child: Child,
    cpu: Cpu,
    peak_mb: f64,
    is_killed: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) struct Workers(Vec<Worker>);

/// What the workers have used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    pub(crate) cpu: Vec<Cpu>,
    pub(crate) peak_mb: Vec<f64>,
}

impl Workers {
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn start(
        asked: &Asked,
        salla: &Address,
        database: &MeasuredDatabase,
    ) -> anyhow::Result<Self> {
        let workers = (0..asked.workers).map(|_| {
            let child = Command::new(env!("CARGO_BIN_EXE_salla-sync"))
                .args(["work", "--jobs", "1000"])
                .args(["--budget-share", &asked.share.to_string()])
                .args(["--connections", &asked.connections.to_string()])
                .env_clear()
                .env("DATABASE_URL", &database.url)
                .env("SALLA_SYNC_KEY", KEY)
                .env("SALLA_API_URL", &salla.api_url)
                .env("SALLA_ACCOUNTS_URL", &salla.accounts_url)
                .env("SALLA_CLIENT_ID", &salla.client_id)
                .env("SALLA_CLIENT_SECRET", &salla.client_secret)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()?;
            Ok(Worker {
                child,
                cpu: Cpu::default(),
                peak_mb: 0.0,
                is_killed: false,
            })
        });
        workers.collect::<anyhow::Result<_>>().map(Self)
    }

    /// Fails if one has ended that was not killed.
    pub(crate) fn used(&mut self) -> anyhow::Result<Used> {
        let mut used = Used::default();
        for worker in &mut self.0 {
            if !worker.is_killed {
                let ended = worker.child.try_wait()?;
                anyhow::ensure!(ended.is_none(), "a worker has ended: {ended:?}");
                worker.cpu = usage::of_process(worker.child.id())?;
                worker.peak_mb = usage::peak_memory(worker.child.id())?;
            }
            used.cpu.push(worker.cpu);
            used.peak_mb.push(worker.peak_mb);
        }
        Ok(used)
    }

    /// Stands still from now on, without knowing it.
    pub(crate) fn stop_first(&self) -> anyhow::Result<u32> {
        let worker = self.0.first();
        let id = worker.map(|worker| worker.child.id());
        let id = id.ok_or_else(|| anyhow::anyhow!("there is no worker"))?;
        // SAFETY: kill(2) has no memory effects; the process is our own child, which has not
        // been waited for.
        let done = unsafe { libc::kill(id.cast_signed(), libc::SIGSTOP) };
        anyhow::ensure!(done == 0, "the worker cannot be stopped");
        Ok(id)
    }

    pub(crate) fn kill_first(&mut self) -> anyhow::Result<()> {
        if let Some(worker) = self.0.first_mut() {
            worker.is_killed = true;
            worker.child.kill()?;
            worker.child.wait()?;
        }
        Ok(())
    }
}
