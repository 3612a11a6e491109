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
use crate::places::Places;

/// A first start takes seconds, a recovery may take minutes.
const TURN_PATIENCE: Duration = Duration::from_secs(330);

/// While it lives, nobody else starts or stops the server.
#[derive(Debug)]
pub(crate) struct Turn {
    _start_lock: File,
}

/// Waits until nobody else starts or stops this server.
pub(crate) fn take_turn(places: &Places) -> Result<Turn, Error> {
    loop {
        fs::create_dir_all(&places.parent)
            .map_err(Error::io("creating the folder", &places.parent))?;
        let file = open(&places.start_lock)?;
        wait_to_lock(&file, places)?;
        // Whoever held the lock before may have removed the whole cluster; then
        // this lock is on a file that later starters will never see.
        if is_still_at(&file, &places.start_lock) {
            return Ok(Turn { _start_lock: file });
        }
    }
}

/// Counts this process among the users. Does not wait: the exclusive lock is
/// tried only by those who hold the turn, or for an instant by the watchdog.
pub(crate) fn join(places: &Places) -> Result<File, Error> {
    let file = open(&places.users_lock)?;
    file.lock_shared()
        .map_err(Error::io("locking", &places.users_lock))?;
    Ok(file)
}

/// Leaves, and tells whether nobody is left. Unlocking comes first and by name:
/// a child that another thread is just starting may still share the open file.
///
/// A lock file that somebody has replaced says nothing about those who came
/// afterwards, so then we are not the last.
pub(crate) fn was_the_last(users: &File, places: &Places) -> Result<bool, Error> {
    let path = &places.users_lock;
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

fn wait_to_lock(file: &File, places: &Places) -> Result<(), Error> {
    if try_lock(file, &places.start_lock)? {
        return Ok(());
    }
    tracing::debug!(data_dir = %places.data_dir.display(), "another process starts or stops this PostgreSQL, waiting");
    wait_for(TURN_PATIENCE, || {
        Ok(try_lock(file, &places.start_lock)?.then_some(()))
    })?
    .ok_or_else(|| Error::TookTooLong {
        doing: format!("waiting for the lock {}", places.start_lock.display()),
        seconds: TURN_PATIENCE.as_secs(),
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

/// Asks again and again until there is an answer; `None` means that patience
/// ran out first.
pub(crate) fn wait_for<T>(
    patience: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let naps = patience.as_millis() / NAP.as_millis();
    for _ in 0..naps {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        thread::sleep(NAP);
    }
    ask()
}
