//! The process that stops an unused server.
//!
//! Needed where users do not come to an end in order: test processes exit without dropping
//! anything, and are killed. It is a fork of the process that started the server, because a library
//! has no executable to run, and it outlives that process. It checks the users' lock every second.
//!
//! A fork of a process with several threads may only make system calls: another
//! thread may have held the allocator's lock. So everything the watchdog needs
//! is prepared before, and below [`Watch::watch`] nothing allocates.

mod calls;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::time::Duration;

use crate::error::Error;
use crate::locks;
use crate::paths::ClusterPaths;
use crate::pid_file::Pid;
use calls::{
    answers, detach_from_parent, is_still_at, read_pid, rename_and_remove, sleep_a_second,
    socket_address, try_lock, unlock, works_in,
};

const FAST_STOP_SECONDS: u32 = 20;
const IMMEDIATE_STOP_SECONDS: u32 = 5;

/// What else the watchdog removes after it has stopped the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CleanUp {
    KeepFiles,
    RemoveParentFolder,
}

/// Sees to it that a watchdog runs. Called under the exclusive lock, so that
/// there is never a second one; a watchdog that was killed is replaced.
pub(crate) fn ensure(paths: &ClusterPaths, idle: Duration, clean_up: CleanUp) -> Result<(), Error> {
    let own_lock = locks::open(&paths.watchdog_lock)?;
    if !locks::try_lock(&own_lock, &paths.watchdog_lock)? {
        return Ok(());
    }
    let watch = Watch::prepare(paths, own_lock, idle, clean_up)?;
    watch
        .detach()
        .map_err(Error::io("starting the watchdog of", &paths.data_dir))
}

struct Watch {
    /// Held as long as the watchdog lives: the lock goes over with the fork.
    own_lock: File,
    /// Opened again: locks on the files that we hold would be our own locks.
    users_lock: File,
    start_lock: File,
    start_lock_path: CString,
    idle_seconds: u32,
    pid_file: CString,
    data_dir: CString,
    socket: libc::sockaddr_un,
    socket_files: [CString; 2],
    socket_dir: CString,
    removal: Option<Removal>,
}

/// The folder gets another name first: at no moment is there a half-removed
/// cluster under the name that the next starter looks at.
struct Removal {
    folder: CString,
    renamed: CString,
}

impl Watch {
    fn prepare(
        paths: &ClusterPaths,
        own_lock: File,
        idle: Duration,
        clean_up: CleanUp,
    ) -> Result<Self, Error> {
        let removal = match clean_up {
            CleanUp::KeepFiles => None,
            CleanUp::RemoveParentFolder => {
                let mut renamed = paths.parent.clone().into_os_string();
                renamed.push(format!(".removed-by-{}", std::process::id()));
                Some(Removal {
                    folder: c_string(&paths.parent)?,
                    renamed: c_string(renamed.as_ref())?,
                })
            }
        };
        Ok(Self {
            own_lock,
            users_lock: locks::open(&paths.users_lock)?,
            start_lock: locks::open(&paths.start_lock)?,
            start_lock_path: c_string(&paths.start_lock)?,
            idle_seconds: idle.as_secs().try_into().unwrap_or(u32::MAX),
            pid_file: c_string(&paths.data_dir.join("postmaster.pid"))?,
            data_dir: c_string(&paths.data_dir)?,
            socket: socket_address(&c_string(&paths.socket())?),
            socket_files: [c_string(&paths.socket())?, c_string(&paths.socket_lock())?],
            socket_dir: c_string(&paths.socket_dir)?,
            removal,
        })
    }

    /// Forks twice: the watchdog becomes a child of init, so no process has to wait for its end.
    fn detach(&self) -> io::Result<()> {
        // SAFETY: the child makes system calls only and never returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => unsafe {
                libc::setsid();
                if libc::fork() == 0 {
                    self.watch();
                }
                libc::_exit(0)
            },
            child => {
                // SAFETY: waits for our own child and wants no status.
                unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
                Ok(())
            }
        }
    }

    fn watch(&self) -> ! {
        detach_from_parent(
            [&self.own_lock, &self.users_lock, &self.start_lock].map(AsRawFd::as_raw_fd),
        );
        let mut idle_seconds = 0;
        loop {
            sleep_a_second();
            idle_seconds = match self.is_unused() {
                true => idle_seconds + 1,
                false => 0,
            };
            if idle_seconds >= self.idle_seconds && self.has_ended_it() {
                // SAFETY: ends this process.
                unsafe { libc::_exit(0) }
            }
        }
    }

    fn is_unused(&self) -> bool {
        let unused = try_lock(&self.users_lock);
        if unused {
            unlock(&self.users_lock);
        }
        unused
    }

    /// Stops the server and tidies up, unless a user came in the meantime. Later
    /// users wait for the exclusive lock and then find nothing.
    fn has_ended_it(&self) -> bool {
        if !try_lock(&self.start_lock) {
            return false;
        }
        if !try_lock(&self.users_lock) {
            unlock(&self.start_lock);
            return false;
        }
        // Our files were removed, and what replaced them has its own locks, users and watchdog.
        if !is_still_at(&self.start_lock, &self.start_lock_path) {
            return true;
        }
        self.stop_server();
        self.remove_socket();
        if let Some(removal) = &self.removal {
            rename_and_remove(&removal.folder, &removal.renamed);
        }
        true
    }

    fn stop_server(&self) {
        for (signal, seconds) in [
            (libc::SIGINT, FAST_STOP_SECONDS),
            (libc::SIGQUIT, IMMEDIATE_STOP_SECONDS),
        ] {
            for second in 0..seconds {
                let pid = read_pid(&self.pid_file).filter(|pid| self.is_server(*pid));
                let Some(pid) = pid else { return };
                if second == 0 {
                    // SAFETY: takes no pointers.
                    unsafe { libc::kill(pid, signal) };
                }
                sleep_a_second();
            }
        }
    }

    /// A number in a file may be stale; a server that works in its directory is not, even if its
    /// socket is gone, or somewhere else than that of our starter. If its directory may not be
    /// read, a server that accepts connections is not stale either.
    fn is_server(&self, pid: Pid) -> bool {
        works_in(pid, &self.data_dir) || answers(&self.socket)
    }

    /// The same as `socket_dir::remove`.
    fn remove_socket(&self) {
        // SAFETY: the strings end with a zero.
        unsafe {
            for file in &self.socket_files {
                libc::unlink(file.as_ptr());
            }
            libc::rmdir(self.socket_dir.as_ptr());
        }
    }
}

fn c_string(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|error| Error::io("naming", path)(error.into()))
}
