//! Who works on a run, as other processes of the same machine can find out.

use std::sync::Arc;

/// A process, as another one in the same place can find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The place in which `pid` means something: a running system and, in a container, its
    /// process namespace. Two places never have the same name.
    pub host: String,
    pub pid: u32,
    /// When it started, in a unit of its host's: process ids are used again.
    pub started: u64,
}

/// The processes of this machine.
pub trait Processes: Send + Sync + std::fmt::Debug {
    /// This process; `None` where it cannot be told from others for certain.
    fn this(&self) -> Option<ProcessId>;

    /// Whether the process certainly no longer exists. A process of another place, or one
    /// that cannot be examined, may exist.
    fn is_gone(&self, process: &ProcessId) -> bool;
}

/// Knows nothing: every process may exist.
#[derive(Clone, Copy, Debug)]
pub struct UnknownProcesses;

impl Processes for UnknownProcesses {
    fn this(&self) -> Option<ProcessId> {
        None
    }

    fn is_gone(&self, _: &ProcessId) -> bool {
        false
    }
}

/// Who claims runs.
#[derive(Clone, Debug)]
pub struct Owner {
    /// For people, in `status`.
    pub name: String,
    pub processes: Arc<dyn Processes>,
}

impl Owner {
    /// An owner whose end shows only in its leases.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            processes: Arc::new(UnknownProcesses),
        }
    }
}
