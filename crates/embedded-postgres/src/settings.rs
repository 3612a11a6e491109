//! What a caller may choose about a server.

use std::path::PathBuf;
use std::time::Duration;

use crate::programs::Programs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What was committed survives a crash of the machine.
    Durable,
    /// Commits are not forced to disk. Ten times faster for tests, and worth
    /// nothing after a power cut.
    Throwaway,
}

/// What happens when this user leaves. Each user decides for itself; the
/// choice of the one who happens to be the last counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The last user to leave stops the server. A killed user cannot, and then
    /// the next start finds the server running.
    ShutDownWithUs,
    /// The server runs until [`Server::stop`](crate::Server::stop).
    Outlive,
    /// A detached process stops the server once it was unused for that long, even if every user was
    /// killed. Counted in whole seconds.
    StopWhenIdle(Duration),
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory itself, not a folder that contains it. Its parent
    /// must be writable: the log and the lock files live beside it.
    pub data_dir: PathBuf,
    pub programs: Programs,
    pub durability: Durability,
    pub lifetime: Lifetime,
    /// Where the socket's folder may be, best first: our own folders, in which no other user can
    /// take its name before us. Unusable ones are skipped, and the folder for temporary files comes
    /// last.
    pub runtime_dirs: Vec<PathBuf>,
    /// More server settings, as in `postgresql.conf`. They count for the
    /// process that starts the server; who attaches gets the starter's.
    pub extra: Vec<(String, String)>,
}

impl Settings {
    /// Durable, and stopped by the last user.
    pub fn new(data_dir: impl Into<PathBuf>, programs: Programs) -> Self {
        Self {
            data_dir: data_dir.into(),
            programs,
            durability: Durability::Durable,
            lifetime: Lifetime::ShutDownWithUs,
            runtime_dirs: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// The settings travel on the command line and not in a file, so that a
    /// changed program never meets the file of its predecessor.
    pub(crate) fn as_arguments(&self) -> impl Iterator<Item = String> {
        let fixed = [
            ("listen_addresses", ""),
            ("port", "5432"),
            // Change data capture can be added later without a restart.
            ("wal_level", "logical"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            // One log file that grows only when there is something to say.
            ("logging_collector", "off"),
            ("log_checkpoints", "off"),
        ];
        let throwaway = [
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ];
        let durability: &[(&str, &str)] = match self.durability {
            Durability::Durable => &[],
            Durability::Throwaway => &throwaway,
        };
        fixed
            .iter()
            .chain(durability)
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .chain(self.extra.iter().cloned())
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
            .collect::<Vec<_>>()
            .into_iter()
    }
}
