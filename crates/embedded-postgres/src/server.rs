//! A user of a running server.

use std::fs::File;
use std::path::Path;

use crate::error::Error;
use crate::locks;
use crate::opening::{Opened, StaleCluster, open};
use crate::paths::ClusterPaths;
use crate::pid_file::{self, Pid};
use crate::postmaster;
use crate::settings::{Lifetime, Settings};
use crate::socket_dir;
use crate::watchdog::CleanUp;

/// As long as it lives, no other user's leaving stops the server. Dropping it
/// is leaving.
#[derive(Debug)]
pub struct Server {
    paths: ClusterPaths,
    lifetime: Lifetime,
    /// Taken when we leave.
    users: Option<File>,
    pid: Pid,
    attached: bool,
}

/// What our leaving meant for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveOutcome {
    Stopped,
    /// Others use it.
    StillInUse,
    /// As the lifetime demands.
    LeftRunning,
}

impl Server {
    /// Attaches to the server of this data directory, or starts it, or makes it
    /// first. Blocks until it takes connections.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        let opened = open(&settings, StaleCluster::Keep, CleanUp::KeepFiles)?;
        Ok(Self::holding(opened, settings.lifetime))
    }

    pub(crate) fn holding(opened: Opened, lifetime: Lifetime) -> Self {
        Self {
            paths: opened.paths,
            lifetime,
            users: Some(opened.users),
            pid: opened.pid,
            attached: opened.attached,
        }
    }

    /// For any client that takes libpq's URLs; the host in front is a formality
    /// that some of them insist on.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@localhost:5432/{}?host={}",
            percent_encoded(database),
            self.paths.socket_dir.display()
        )
    }

    pub fn socket_dir(&self) -> &Path {
        &self.paths.socket_dir
    }

    pub fn data_dir(&self) -> &Path {
        &self.paths.data_dir
    }

    pub fn log_file(&self) -> &Path {
        &self.paths.log
    }

    /// Whether the server was running before us.
    pub fn attached(&self) -> bool {
        self.attached
    }

    /// The server's process when we came.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Detaches, and stops the server if our lifetime says so and no other process uses it.
    /// Dropping does the same but can only log what went wrong.
    pub fn leave(mut self) -> Result<LeaveOutcome, Error> {
        self.leave_once()
    }

    /// Stops the server now, also while others use it.
    pub fn stop(mut self) -> Result<(), Error> {
        let _lock = self.lock_exclusive()?;
        self.users = None;
        self.stop_exclusively()
    }

    fn leave_once(&mut self) -> Result<LeaveOutcome, Error> {
        let Some(users) = self.users.take() else {
            return Ok(LeaveOutcome::LeftRunning);
        };
        match self.lifetime {
            Lifetime::Outlive | Lifetime::StopWhenIdle(_) => return Ok(LeaveOutcome::LeftRunning),
            Lifetime::ShutDownWithUs => {}
        }
        let _lock = self.lock_exclusive()?;
        if !locks::leave_was_last(&users, &self.paths)? {
            return Ok(LeaveOutcome::StillInUse);
        }
        self.stop_exclusively()?;
        Ok(LeaveOutcome::Stopped)
    }

    /// Nothing to agree about once the files are gone from under us, and
    /// locking would make new ones.
    fn lock_exclusive(&self) -> Result<Option<locks::ExclusiveLock>, Error> {
        match self.paths.start_lock.exists() {
            true => locks::lock_exclusive(&self.paths).map(Some),
            false => Ok(None),
        }
    }

    /// After a crash another process may have started a successor.
    fn stop_exclusively(&self) -> Result<(), Error> {
        let pid = pid_file::current_pid(&self.paths.data_dir)?.unwrap_or(self.pid);
        postmaster::stop(pid, &self.paths.data_dir)?;
        socket_dir::remove(&self.paths);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.leave_once() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                data_dir = %self.paths.data_dir.display(),
                "PostgreSQL could not be left in order"
            );
        }
    }
}

fn percent_encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_database_names_survive_the_url() {
        assert_eq!(percent_encoded("shop_1"), "shop_1");
        assert_eq!(percent_encoded("a/b?c"), "a%2Fb%3Fc");
    }
}
