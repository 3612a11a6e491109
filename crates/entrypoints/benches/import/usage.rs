//! What processes have used, as the kernel counts it in `/proc`.
//!
//! Processor time, not wall time, is what can be compared on a machine that others use
//! too; what they used meanwhile is shown beside each measurement.

use std::ops::{Add, Sub};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Linux counts in hundredths of a second, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cpu(pub(crate) f64);

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

/// What this process has used.
pub(crate) fn of_ourselves() -> anyhow::Result<Cpu> {
    of_process(std::process::id())
}

pub(crate) fn of_process(process: u32) -> anyhow::Result<Cpu> {
    Ok(seconds(Stat::read(process)?.own))
}

/// What a process and its children have used, those that have ended included.
pub(crate) fn of_family(parent: u32) -> anyhow::Result<Cpu> {
    let stat = Stat::read(parent)?;
    let mut ticks = stat.own + stat.ended_children;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the look.
        if let Ok(stat) = Stat::read(pid)
            && stat.parent == parent
        {
            ticks += stat.own;
        }
    }
    Ok(seconds(ticks))
}

/// What all processes of the machine have used.
pub(crate) fn of_machine() -> anyhow::Result<Cpu> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let all = text.lines().next().context("/proc/stat is empty")?;
    let fields: Vec<u64> = all
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user, nice, system, (idle, iowait), irq, softirq, steal; guests are in user.
    let busy = [0, 1, 2, 5, 6, 7];
    let busy = busy.iter().filter_map(|index| fields.get(*index)).sum();
    Ok(seconds(busy))
}

/// The most memory that a process ever had resident, in megabytes.
pub(crate) fn peak_memory(process: u32) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: f64 = kilobytes.context("no VmHWM in the status")?.parse()?;
    Ok(kilobytes / 1024.0)
}

fn seconds(ticks: u64) -> Cpu {
    Cpu(ticks as f64 / TICKS_PER_SECOND)
}

struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

impl Stat {
    fn read(pid: u32) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in brackets may hold anything; what follows it is regular.
        let (_, rest) = text.rsplit_once(')').context("an odd stat file")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| -> anyhow::Result<u64> {
            let field = fields.get(index).context("a short stat file")?;
            Ok(field.parse()?)
        };
        Ok(Self {
            parent: u32::try_from(number(1)?)?,
            own: number(11)? + number(12)?,
            ended_children: number(13)? + number(14)?,
        })
    }
}
