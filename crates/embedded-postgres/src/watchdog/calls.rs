//! System calls as the watchdog may make them: without allocating.

use std::ffi::CStr;
use std::fs::File;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use crate::pid_file::Pid;

/// The parent's standard streams, if kept open, would make a test runner
/// wait for us; its locks, if kept open, would count as ours; its environment
/// holds secrets.
pub(super) fn detach_from_parent(kept: [RawFd; 3]) {
    // SAFETY: plain system calls; no descriptor closed here is used again.
    unsafe {
        libc::chdir(c"/".as_ptr());
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGTERM, libc::SIG_DFL);
        #[cfg(target_os = "linux")]
        {
            libc::prctl(libc::PR_SET_NAME, c"pg-watchdog".as_ptr());
            erase_environment();
            // What remains of the parent's memory must not leak either.
            libc::prctl(libc::PR_SET_DUMPABLE, 0);
        }
        let nothing = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for stream in 0..3 {
            libc::dup2(nothing, stream);
        }
        let limit = libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, 65_536);
        for descriptor in (3..limit as RawFd).filter(|each| !kept.contains(each)) {
            libc::close(descriptor);
        }
    }
}

/// A fork shows in `/proc` the environment that its parent was started with, from memory that
/// is now its own.
///
/// # Safety
/// No other thread may read the environment meanwhile: the fork has one thread.
#[cfg(target_os = "linux")]
unsafe fn erase_environment() {
    // The crate libc names it for the C library of GNU only.
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: an array of strings that end with a zero, itself ending with a null.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            ptr::write_bytes(*entry, 0, libc::strlen(*entry));
            entry = entry.add(1);
        }
    }
}

pub(super) fn sleep_a_second() {
    // SAFETY: takes no pointers.
    unsafe { libc::sleep(1) };
}

pub(super) fn try_lock(file: &File) -> bool {
    // SAFETY: takes no pointers.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

pub(super) fn unlock(file: &File) {
    // SAFETY: takes no pointers.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
}

pub(super) fn is_still_at(file: &File, path: &CStr) -> bool {
    // SAFETY: both structures are plain numbers, filled before they are read,
    // and the string ends with a zero.
    unsafe {
        let (mut open, mut there) = mem::zeroed::<(libc::stat, libc::stat)>();
        libc::fstat(file.as_raw_fd(), &mut open) == 0
            && libc::stat(path.as_ptr(), &mut there) == 0
            && (open.st_dev, open.st_ino) == (there.st_dev, there.st_ino)
    }
}

pub(super) fn answers(socket: &libc::sockaddr_un) -> bool {
    // SAFETY: the address was filled before the fork and has the size given.
    unsafe {
        let end = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let address = ptr::from_ref(socket).cast();
        let length = mem::size_of::<libc::sockaddr_un>() as libc::socklen_t;
        let answers = libc::connect(end, address, length) == 0;
        libc::close(end);
        answers
    }
}

/// Whether a process works in this folder, as a server does in its data directory.
#[cfg(target_os = "linux")]
pub(super) fn works_in(pid: Pid, folder: &CStr) -> bool {
    // "/proc/", up to ten digits, "/cwd" and a zero.
    let mut link = [0_u8; 24];
    let (before, after) = (b"/proc/", b"/cwd");
    link[..before.len()].copy_from_slice(before);
    let mut end = before.len();
    let mut unit = 1_000_000_000;
    while unit > 0 {
        if pid >= unit {
            link[end] = b'0' + (pid / unit % 10) as u8;
            end += 1;
        }
        unit /= 10;
    }
    link[end..end + after.len()].copy_from_slice(after);
    let mut found = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: the link's name ends with a zero, and at most the buffer's length is written.
    let length = unsafe {
        let found = found.as_mut_ptr().cast();
        libc::readlink(link.as_ptr().cast(), found, libc::PATH_MAX as usize)
    };
    let found = usize::try_from(length)
        .ok()
        .and_then(|length| found.get(..length));
    found == Some(folder.to_bytes())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn works_in(_pid: Pid, _folder: &CStr) -> bool {
    false
}

pub(super) fn read_pid(file: &CStr) -> Option<Pid> {
    let mut text = [0_u8; 16];
    // SAFETY: at most the buffer's length is read into it.
    let length = unsafe {
        let file = libc::open(file.as_ptr(), libc::O_RDONLY);
        let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        length
    };
    let text = text.get(..length.try_into().ok()?)?;
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let pid = digits.fold(0, |pid: Pid, digit| {
        pid.wrapping_mul(10).wrapping_add(Pid::from(digit - b'0'))
    });
    (pid > 1).then_some(pid)
}

/// `rm` does what a loop of system calls would do, and takes our place.
pub(super) fn rename_and_remove(folder: &CStr, renamed: &CStr) {
    let arguments = [
        c"rm".as_ptr(),
        c"-rf".as_ptr(),
        renamed.as_ptr(),
        ptr::null(),
    ];
    let environment = [ptr::null()];
    // SAFETY: strings end with a zero and both arrays with a null.
    unsafe {
        if libc::rename(folder.as_ptr(), renamed.as_ptr()) == 0 {
            libc::execve(
                c"/bin/rm".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            );
        }
    }
}

/// Allocates nothing either, but is called before the fork.
pub(super) fn socket_address(path: &CStr) -> libc::sockaddr_un {
    // SAFETY: all zeros is a valid address of no socket.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(path.to_bytes()) {
        *to = *from as libc::c_char;
    }
    address
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn where_a_process_works_is_seen() {
        let folder = std::env::current_dir().unwrap();
        let folder = CString::new(folder.as_os_str().as_bytes()).unwrap();
        let us = std::process::id() as Pid;
        assert!(works_in(us, &folder));
        assert!(!works_in(us, c"/nowhere"));
        assert!(!works_in(Pid::MAX, &folder), "there is no such process");
    }
}
