//! The way to a running server: attach, or start, or make it first.

use std::fs::File;
use std::time::Duration;

use crate::cluster;
use crate::error::Error;
use crate::locks;
use crate::owner::Owner;
use crate::pid_file::{self, Pid};
use crate::places::Places;
use crate::postmaster;
use crate::settings::{Lifetime, Settings};
use crate::socket_dir;
use crate::watchdog::{self, Afterwards};

/// What to do with a cluster that exists but is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    Keep,
    Discard,
}

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) places: Places,
    /// Makes this process a user.
    pub(crate) users: File,
    pub(crate) pid: Pid,
    pub(crate) attached: bool,
}

pub(crate) fn open(
    settings: &Settings,
    leftovers: Leftovers,
    afterwards: Afterwards,
) -> Result<Opened, Error> {
    let mut places = Places::of(&settings.data_dir)?;
    let _turn = locks::take_turn(&places)?;
    // Others may have been started with other settings than ours.
    places.socket_dir = match pid_file::current_socket_dir(&places.data_dir)? {
        Some(folder) => folder,
        None => socket_dir::choose(&settings.runtime_dirs, &places),
    };
    let users = locks::join(&places)?;
    cluster::check(&places, &settings.programs)?;
    // Before the server, which would be left behind if we were killed between.
    if let Lifetime::StopWhenIdle(idle) = settings.lifetime {
        watchdog::ensure(&places, idle.max(Duration::from_secs(1)), afterwards)?;
    }
    let (pid, attached) = match attach(&places)? {
        Some(pid) => (pid, true),
        None => (start(settings, &places, leftovers)?, false),
    };
    Ok(Opened {
        places,
        users,
        pid,
        attached,
    })
}

fn attach(places: &Places) -> Result<Option<Pid>, Error> {
    if pid_file::current_pid(&places.data_dir)?.is_none() {
        return Ok(None);
    }
    socket_dir::prepare(&places.socket_dir, Owner::of(&places.data_dir)?)?;
    postmaster::find(places)
}

fn start(settings: &Settings, places: &Places, leftovers: Leftovers) -> Result<Pid, Error> {
    if leftovers == Leftovers::Discard {
        cluster::remove(&places.data_dir)?;
    }
    let account = cluster::ensure(settings, places)?;
    socket_dir::prepare(&places.socket_dir, account.owner())?;
    let pid = postmaster::launch(settings, places, &account)
        .inspect_err(|_| socket_dir::remove(places))?;
    tracing::info!(
        data_dir = %places.data_dir.display(),
        version = settings.programs.version,
        pid,
        "PostgreSQL started"
    );
    Ok(pid)
}
