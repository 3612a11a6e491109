//! Where everything of one cluster lies.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Beside the data directory `db` lie `db.log`, `db.start.lock`,
/// `db.users.lock`, `db.watchdog.lock` and, until `initdb` has finished,
/// `db.new`. Nothing of ours is put into the data directory itself.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPaths {
    pub(crate) data_dir: PathBuf,
    pub(crate) parent: PathBuf,
    pub(crate) unfinished: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) start_lock: PathBuf,
    pub(crate) users_lock: PathBuf,
    pub(crate) watchdog_lock: PathBuf,
    /// Where the server that runs has it, or where the next one will.
    pub(crate) socket_dir: PathBuf,
}

impl ClusterPaths {
    /// Creates the parent folder if need be: two spellings of one path must
    /// give the same places, and only an existing folder has one true name.
    pub(crate) fn of(data_dir: &Path) -> Result<Self, Error> {
        let data_dir =
            std::path::absolute(data_dir).map_err(Error::io("resolving the path", data_dir))?;
        let (Some(parent), Some(name)) = (data_dir.parent(), data_dir.file_name()) else {
            return Err(Error::NotADataDirectory { data_dir });
        };
        fs::create_dir_all(parent).map_err(Error::io("creating the folder", parent))?;
        let parent = parent
            .canonicalize()
            .map_err(Error::io("resolving the path", parent))?;
        let data_dir = parent.join(name);
        if data_dir.is_symlink() {
            let target = data_dir
                .canonicalize()
                .map_err(Error::io("following the link", &data_dir))?;
            return Self::of(&target);
        }
        let beside = |suffix: &str| {
            let mut name = OsString::from(name);
            name.push(suffix);
            parent.join(name)
        };
        Ok(Self {
            unfinished: beside(".new"),
            log: beside(".log"),
            start_lock: beside(".start.lock"),
            users_lock: beside(".users.lock"),
            watchdog_lock: beside(".watchdog.lock"),
            socket_dir: Path::new("/tmp").join(socket_dir_name(&data_dir)),
            parent,
            data_dir,
        })
    }

    /// The name of the socket's folder, wherever that lies.
    pub(crate) fn socket_dir_name(&self) -> String {
        socket_dir_name(&self.data_dir)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_dir.join(".s.PGSQL.5432")
    }

    /// The server's note beside its socket.
    pub(crate) fn socket_lock(&self) -> PathBuf {
        self.socket_dir.join(".s.PGSQL.5432.lock")
    }
}

/// A socket's path may have 108 bytes (104 on macOS), which a data directory deep in a home folder
/// exceeds; so the socket is in a short folder, under a name that every process computes from the
/// data directory's path.
fn socket_dir_name(data_dir: &Path) -> String {
    let hash = fnv1a(data_dir.as_os_str().as_bytes());
    format!("salla-sync-pg-{hash:016x}")
}

/// The standard library's hasher may change between its versions, and two
/// programs built by different compilers must meet in the same folder.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn spellings_of_one_path_meet() {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(place.path(), place.path().join("link")).unwrap();
        let straight = ClusterPaths::of(&place.path().join("db")).unwrap();
        let crooked = ClusterPaths::of(&place.path().join("link/./db")).unwrap();
        assert_eq!(straight.socket_dir, crooked.socket_dir);
        assert_eq!(straight.start_lock, crooked.start_lock);
    }

    #[test]
    fn a_long_path_gives_a_short_socket() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("x".repeat(120)).join("db");
        let socket = ClusterPaths::of(&deep).unwrap().socket();
        assert!(socket.as_os_str().len() < 104, "{}", socket.display());
    }
}
