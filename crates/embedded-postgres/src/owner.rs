//! Users of the system, as owners of files.

use std::ffi::CString;
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr;

use crate::error::Error;

/// As seen from this process, whatever namespace others are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    pub(crate) fn ourselves() -> Self {
        // SAFETY: both calls have no preconditions and cannot fail.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        Self { uid, gid }
    }

    pub(crate) fn of(path: &Path) -> Result<Self, Error> {
        let found = fs::metadata(path).map_err(Error::io("looking at", path))?;
        Ok(Self {
            uid: found.uid(),
            gid: found.gid(),
        })
    }

    /// Root may use any user's files, under that user's account.
    pub(crate) fn must_be_ours(self, path: &Path) -> Result<(), Error> {
        match Self::ourselves() {
            Owner { uid: 0, .. } => Ok(()),
            us => self.must_be(us, path),
        }
    }

    pub(crate) fn must_be(self, expected: Owner, path: &Path) -> Result<(), Error> {
        match self.uid == expected.uid {
            true => Ok(()),
            false => Err(Error::NotOurs {
                path: path.to_owned(),
                owner: self.uid,
                expected: expected.uid,
            }),
        }
    }
}

pub(crate) fn user(name: &str) -> Option<Owner> {
    let name = CString::new(name).ok()?;
    let mut strings = [0; 4096];
    let mut found = MaybeUninit::<libc::passwd>::uninit();
    let mut answer = ptr::null_mut();
    // SAFETY: every pointer is to a live local of the size passed along.
    let failure = unsafe {
        libc::getpwnam_r(
            name.as_ptr(),
            found.as_mut_ptr(),
            strings.as_mut_ptr(),
            strings.len(),
            &mut answer,
        )
    };
    if failure != 0 || answer.is_null() {
        return None;
    }
    // SAFETY: a non-null answer points to `found`, which the call has filled.
    let found = unsafe { &*answer };
    Some(Owner {
        uid: found.pw_uid,
        gid: found.pw_gid,
    })
}
