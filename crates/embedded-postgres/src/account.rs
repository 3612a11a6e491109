//! Under which user PostgreSQL runs. It refuses to run as root.
//!
//! Root runs the server as the user `postgres`, and on Linux else as itself in a user namespace,
//! where root is not called root. That also works when the data lies in a folder that only root may
//! enter. `nobody` is the last choice: other programs run as that user too, and could look into the
//! server.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::children;
use crate::error::Error;
use crate::owner::{Owner, user};
use crate::paths::ClusterPaths;
use crate::programs::Programs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Ourselves,
    User(Owner),
    #[cfg(target_os = "linux")]
    Namespace,
}

impl Account {
    /// An existing data directory stays with its owner.
    pub(crate) fn of_existing(programs: &Programs, paths: &ClusterPaths) -> Result<Self, Error> {
        if Owner::ourselves().uid != 0 {
            return Ok(Account::Ourselves);
        }
        let owner = Owner::of(&paths.data_dir)?;
        let candidate = match owner.uid {
            0 => Self::namespace(),
            _ => Some(Account::User(owner)),
        };
        candidate
            .filter(|account| account.can_run(programs, paths))
            .ok_or_else(|| Error::NoAccount {
                reason: format!(
                    "user {}, who owns {}, cannot run {}",
                    owner.uid,
                    paths.data_dir.display(),
                    programs.program("postgres").display()
                ),
            })
    }

    pub(crate) fn for_new(programs: &Programs, paths: &ClusterPaths) -> Result<Self, Error> {
        if Owner::ourselves().uid != 0 {
            return Ok(Account::Ourselves);
        }
        let named = |name| user(name).map(Account::User);
        [named("postgres"), Self::namespace(), named("nobody")]
            .into_iter()
            .flatten()
            .find(|account| account.can_run(programs, paths))
            .ok_or_else(|| Error::NoAccount {
                reason: format!(
                    "neither the user \"postgres\" nor a user namespace nor the user \"nobody\" can reach both {} and {}",
                    programs.program("postgres").display(),
                    paths.parent.display()
                ),
            })
    }

    fn namespace() -> Option<Self> {
        #[cfg(target_os = "linux")]
        return Some(Account::Namespace);
        #[cfg(not(target_os = "linux"))]
        return None;
    }

    /// Tried rather than computed from permission bits, which know nothing of
    /// access lists, missing libraries and kernels that forbid namespaces. The
    /// folder is entered after the user was changed, so that it is tested too.
    fn can_run(&self, programs: &Programs, paths: &ClusterPaths) -> bool {
        let attempt = self
            .command(&programs.program("postgres"))
            .arg("--version")
            .current_dir(&paths.parent)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        attempt.is_ok_and(|status| status.success())
    }

    /// A command that will run under this account, in English and without
    /// anything to say on our terminal.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = children::command(program, &[]);
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .env("LC_ALL", "C");
        match self {
            Account::Ourselves => {}
            Account::User(owner) => {
                command.uid(owner.uid).gid(owner.gid);
            }
            #[cfg(target_os = "linux")]
            Account::Namespace => namespace::enter_before_exec(&mut command),
        }
        command
    }

    pub(crate) fn owner(&self) -> Owner {
        match self {
            Account::User(owner) => *owner,
            Account::Ourselves => Owner::ourselves(),
            #[cfg(target_os = "linux")]
            Account::Namespace => Owner::ourselves(),
        }
    }

    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        let owner = self.owner();
        chown(path, Some(owner.uid), Some(owner.gid)).map_err(Error::io("giving away", path))
    }
}

/// A user namespace in which root is not called root.
#[cfg(target_os = "linux")]
mod namespace {
    use std::ffi::CStr;
    use std::io;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    pub(super) fn enter_before_exec(command: &mut Command) {
        // SAFETY: `enter` makes system calls only and allocates nothing, as is
        // required between fork and exec.
        unsafe { command.pre_exec(enter) };
    }

    /// In the new namespace our root is the user 65534 (`nobody`); outside, its
    /// files remain root's.
    fn enter() -> io::Result<()> {
        // SAFETY: takes no pointers; the forked child has one thread.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
            return Err(io::Error::last_os_error());
        }
        write(c"/proc/self/setgroups", b"deny")?;
        write(c"/proc/self/uid_map", b"65534 0 1")?;
        write(c"/proc/self/gid_map", b"65534 0 1")
    }

    fn write(path: &CStr, text: &[u8]) -> io::Result<()> {
        // SAFETY: the path ends with a zero, the text has the length given, and
        // the descriptor is closed by exec at the latest.
        let written = unsafe {
            let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            libc::write(file, text.as_ptr().cast(), text.len())
        };
        match written == text.len() as isize {
            true => Ok(()),
            false => Err(io::Error::last_os_error()),
        }
    }
}
