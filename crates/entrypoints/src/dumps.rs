//! The memory of this process holds tokens and keys: it is not for dumps and not for other
//! processes.

use std::io;

/// Keeps the kernel from writing this process's memory to a file when it crashes, and other
/// processes of this user from looking into it. The limit holds for child processes too. To be
/// called before a secret is read.
///
/// A limit of nothing alone is not enough: it does not hold where dumps go to a program.
pub fn forbid() -> io::Result<()> {
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
        forbid().unwrap();
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
