//! The way to a running server: attach, or start, or make it first.

use std::fs::File;
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

/// What to do with a cluster that exists but is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StaleCluster {
    Keep,
    Discard,
}

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) paths: ClusterPaths,
    /// Makes this process a user.
    pub(crate) users: File,
    pub(crate) pid: Pid,
    pub(crate) attached: bool,
}

pub(crate) fn open(
    settings: &Settings,
    stale: StaleCluster,
    clean_up: CleanUp,
) -> Result<Opened, Error> {
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
    Ok(Opened {
        paths,
        users,
        pid,
        attached,
    })
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
