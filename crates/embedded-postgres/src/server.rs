//! A user of a running server, and the way to it: attach, or start, or make it first.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use crate::cluster;
use crate::error::Error;
use crate::locks;
use crate::owner::Owner;
use crate::paths::ClusterPaths;
use crate::pid_file::{self, Pid};
use crate::postmaster;
use crate::settings::{Lifetime, Settings};
use crate::socket_dir;
use crate::watchdog::{self, CleanUp};

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

/// What to do with a cluster that exists but is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StaleCluster {
    Keep,
    Discard,
}

impl Server {
    /// Attaches to the server of this data directory, or starts it, or makes it
    /// first. Blocks until it takes connections.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        Self::open(&settings, StaleCluster::Keep, CleanUp::KeepFiles)
    }

    pub(crate) fn open(
        settings: &Settings,
        stale: StaleCluster,
        clean_up: CleanUp,
    ) -> Result<Self, Error> {
        let mut paths = ClusterPaths::of(&settings.data_dir)?;
        let _lock = locks::lock_exclusive(&paths)?;
        // Others may have been started with other settings than ours.
        paths.socket_dir = match pid_file::current_socket_dir(&paths.data_dir)? {
            Some(folder) => folder,
            None => socket_dir::choose(&settings.runtime_dirs, &paths),
        };
        let users = locks::join(&paths)?;
        cluster::check(&paths, &settings.programs)?;
        // Before the server, which would be left behind if we were killed between.
        if let Lifetime::StopWhenIdle(idle) = settings.lifetime {
            watchdog::ensure(&paths, idle.max(Duration::from_secs(1)), clean_up)?;
        }
        let (pid, attached) = match attach(&paths)? {
            Some(pid) => (pid, true),
            None => (start(settings, &paths, stale)?, false),
        };
        Ok(Self {
            paths,
            lifetime: settings.lifetime,
            users: Some(users),
            pid,
            attached,
        })
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

fn attach(paths: &ClusterPaths) -> Result<Option<Pid>, Error> {
    if pid_file::current_pid(&paths.data_dir)?.is_none() {
        return Ok(None);
    }
    socket_dir::prepare(&paths.socket_dir, Owner::of(&paths.data_dir)?)?;
    postmaster::find(paths)
}

fn start(settings: &Settings, paths: &ClusterPaths, stale: StaleCluster) -> Result<Pid, Error> {
    if stale == StaleCluster::Discard {
        cluster::remove(&paths.data_dir)?;
    }
    let account = cluster::ensure(settings, paths)?;
    socket_dir::prepare(&paths.socket_dir, account.owner())?;
    let pid =
        postmaster::launch(settings, paths, &account).inspect_err(|_| socket_dir::remove(paths))?;
    tracing::info!(
        data_dir = %paths.data_dir.display(),
        version = settings.programs.version,
        pid,
        "PostgreSQL started"
    );
    Ok(pid)
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
