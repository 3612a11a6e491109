//! A user namespace in which root is not called root. Linux only.

use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(crate) fn enter_before_exec(command: &mut Command) {
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
