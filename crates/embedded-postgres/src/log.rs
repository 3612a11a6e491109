//! The log of one cluster: all that `initdb` and the server say.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use crate::error::Error;
use crate::paths::ClusterPaths;

const ROTATE_AT_BYTES: u64 = 10 * 1024 * 1024;
const TAIL_LINES: usize = 12;

/// Opened for one run of a program: the tail shows this run's lines only.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    begin: u64,
}

impl Log {
    /// A log grown large is renamed, in place of the one that was renamed before.
    pub(crate) fn open(paths: &ClusterPaths) -> Result<Self, Error> {
        if fs::metadata(&paths.log).is_ok_and(|found| found.len() > ROTATE_AT_BYTES) {
            let renamed = paths.log.with_extension("log.old");
            fs::rename(&paths.log, renamed).map_err(Error::io("renaming", &paths.log))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&paths.log)
            .map_err(Error::io("opening the log", &paths.log))?;
        let begin = file
            .metadata()
            .map_err(Error::io("looking at", &paths.log))?
            .len();
        Ok(Self {
            path: paths.log.clone(),
            file,
            begin,
        })
    }

    pub(crate) fn writer(&self) -> Result<Stdio, Error> {
        let file = self
            .file
            .try_clone()
            .map_err(Error::io("sharing the log", &self.path))?;
        Ok(file.into())
    }

    /// An error that carries the last lines of this run.
    pub(crate) fn error_with_log_tail(&self, program: &'static str, paths: &ClusterPaths) -> Error {
        Error::ProgramFailed {
            program,
            data_dir: paths.data_dir.clone(),
            log: self.path.clone(),
            tail: self.tail(),
        }
    }

    fn tail(&self) -> String {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file
            .seek(SeekFrom::Start(self.begin))
            .and_then(|_| file.read_to_end(&mut bytes));
        if let Err(error) = read {
            return format!("(the log cannot be read: {error})");
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}
