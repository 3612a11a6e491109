//! What can go wrong, said to the person who can do something about it.

use std::io;
use std::path::{Path, PathBuf};

/// Every message names what was being done, to what, and what to do next. The
/// cause is in `source` and not repeated in the message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL ({wanted}) was found in {looked_in}: install postgresql (Debian/Ubuntu: \
         apt-get install postgresql; macOS: brew install postgresql@16) or run scripts/get-postgres.sh"
    )]
    NotFound { wanted: String, looked_in: String },

    #[error(
        "the PostgreSQL programs asked for in {} cannot be used: {reason}; name another folder or none",
        bin.display()
    )]
    UnusablePrograms { bin: PathBuf, reason: String },

    #[error(
        "{} was made by PostgreSQL {made_by} and cannot be opened by PostgreSQL {offered}: \
         use the programs of PostgreSQL {made_by}, or move the folder away to begin with an empty database",
        data_dir.display()
    )]
    OtherMajor {
        data_dir: PathBuf,
        made_by: u32,
        offered: u32,
    },

    #[error(
        "{} holds files but no PostgreSQL database: name an empty or new folder for the database",
        data_dir.display()
    )]
    NotADataDirectory { data_dir: PathBuf },

    #[error(
        "{} belongs to user {owner}, not to user {expected}: \
         run as its owner, or have it removed or moved away",
        path.display()
    )]
    NotOurs {
        path: PathBuf,
        owner: u32,
        expected: u32,
    },

    #[error(
        "{} should be a folder but is something else: have it removed",
        path.display()
    )]
    NotAFolder { path: PathBuf },

    #[error(
        "PostgreSQL does not run as root, and {}: start as an ordinary user, or put the database in \
         a folder that the user \"postgres\" can reach",
        reason
    )]
    NoAccount { reason: String },

    #[error("{program} failed for {}, see {}; it said:\n{tail}", data_dir.display(), log.display())]
    ProgramFailed {
        program: &'static str,
        data_dir: PathBuf,
        log: PathBuf,
        tail: String,
    },

    #[error(
        "PostgreSQL (process {pid}) runs on {} but does not answer in {}: \
         stop it (kill -INT {pid}) and start again",
        data_dir.display(),
        socket_dir.display()
    )]
    Unreachable {
        pid: i32,
        data_dir: PathBuf,
        socket_dir: PathBuf,
    },

    #[error("gave up {doing} after {seconds} s: {advice}")]
    TookTooLong {
        doing: String,
        seconds: u64,
        advice: String,
    },

    #[error("{doing} {}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: `File::open(path).map_err(Error::io("opening", path))`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io {
            doing,
            path,
            source,
        }
    }
}
