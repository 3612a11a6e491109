//! The memory of this process: where it comes from, and who must not read it.

use std::ffi::{c_int, c_long};
use std::io;

/// A worker holds the records of many shops for moments; with the allocator of the C
/// library their gaps stay with the process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in mimalloc.h, which the crate names no constant for.
const PURGE_DELAY: c_int = 15;

const AT_ONCE: c_long = 0;

/// Returns free memory to the system immediately and not after a second, in which an import frees
/// some fifty megabytes. Must be called first of all.
pub fn return_memory_eagerly() {
    // SAFETY: setting an option is not thread safe, and no other thread runs yet that could
    // read or set one; option and value are documented in mimalloc.h.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, AT_ONCE) }
}

/// The memory holds tokens and keys. Keeps the kernel from writing this process's memory to a file when it crashes, and other
/// processes of this user from looking into it. The limit holds for child processes too. To be
/// called before a secret is read.
///
/// A limit of nothing alone is not enough: it does not hold where dumps go to a program.
pub fn forbid_dumps() -> io::Result<()> {
    let nothing = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &nothing) })?;
    #[cfg(target_os = "linux")]
    // SAFETY: takes no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) })?;
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_for_nobody_else() {
        forbid_dumps().unwrap();
        let mut limit = libc::rlimit {
            rlim_cur: 1,
            rlim_max: 1,
        };
        // SAFETY: the pointer is to a live local.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_CORE, &mut limit) }, 0);
        assert_eq!((limit.rlim_cur, limit.rlim_max), (0, 0));
        #[cfg(target_os = "linux")]
        // SAFETY: takes no pointers.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0);
    }
}
