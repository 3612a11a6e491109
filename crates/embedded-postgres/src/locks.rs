//! The two locks by which processes agree, see the crate's documentation, and waiting
//! without a clock.
//!
//! They are `flock` locks: the kernel drops them when their holder dies, and
//! they belong to the open file, so two users in one process count as two.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::Error;
use crate::paths::ClusterPaths;

/// A first start takes seconds, a recovery may take minutes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(330);

/// While it exists, no other process starts or stops the server.
#[derive(Debug)]
pub(crate) struct ExclusiveLock {
    _file: File,
}

/// Waits until no other process starts or stops this server.
pub(crate) fn lock_exclusive(paths: &ClusterPaths) -> Result<ExclusiveLock, Error> {
    loop {
        fs::create_dir_all(&paths.parent)
            .map_err(Error::io("creating the folder", &paths.parent))?;
        let file = open(&paths.start_lock)?;
        wait_to_lock(&file, paths)?;
        // The process that held the lock before may have removed the whole cluster; then
        // this lock is on a file that later starters will never see.
        if is_still_at(&file, &paths.start_lock) {
            return Ok(ExclusiveLock { _file: file });
        }
    }
}

/// Counts this process among the users. Does not wait: the exclusive lock is
/// tried only under the other lock, or for an instant by the watchdog.
pub(crate) fn join(paths: &ClusterPaths) -> Result<File, Error> {
    let file = open(&paths.users_lock)?;
    file.lock_shared()
        .map_err(Error::io("locking", &paths.users_lock))?;
    Ok(file)
}

/// Leaves, and returns whether no user is left. Unlocking comes first and by name:
/// a child that another thread is just starting may still share the open file.
///
/// A replaced lock file says nothing about later users, so then we are not the last.
pub(crate) fn leave_was_last(users: &File, paths: &ClusterPaths) -> Result<bool, Error> {
    let path = &paths.users_lock;
    users.unlock().map_err(Error::io("unlocking", path))?;
    let replaced = path.exists() && !is_still_at(users, path);
    Ok(!replaced && try_lock(users, path)?)
}

/// Opened without following links and readable only by us: the folder around
/// it may be one where others write too.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(Error::io("opening the lock file", path))
}

pub(crate) fn try_lock(file: &File, path: &Path) -> Result<bool, Error> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Error::io("locking", path)(error)),
    }
}

fn wait_to_lock(file: &File, paths: &ClusterPaths) -> Result<(), Error> {
    if try_lock(file, &paths.start_lock)? {
        return Ok(());
    }
    tracing::debug!(data_dir = %paths.data_dir.display(), "another process starts or stops this PostgreSQL, waiting");
    wait_for(LOCK_TIMEOUT, || {
        Ok(try_lock(file, &paths.start_lock)?.then_some(()))
    })?
    .ok_or_else(|| Error::TookTooLong {
        doing: format!("waiting for the lock {}", paths.start_lock.display()),
        seconds: LOCK_TIMEOUT.as_secs(),
        advice: "another process has been starting or stopping this PostgreSQL all the while; end that process".to_owned(),
    })
}

fn is_still_at(file: &File, path: &Path) -> bool {
    let same = || -> io::Result<bool> {
        let (open, there) = (file.metadata()?, fs::metadata(path)?);
        Ok(open.ino() == there.ino() && open.dev() == there.dev())
    };
    same().unwrap_or(false)
}

/// Time is counted in naps: a laptop that slept through the wait must not
/// conclude that the server was too slow, and no clock has to be passed in.
const NAP: Duration = Duration::from_millis(5);

/// Checks again and again until there is a result; `None` after the timeout.
pub(crate) fn wait_for<T>(
    timeout: Duration,
    mut check: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let naps = timeout.as_millis() / NAP.as_millis();
    for _ in 0..naps {
        if let Some(answer) = check()? {
            return Ok(Some(answer));
        }
        thread::sleep(NAP);
    }
    check()
}
