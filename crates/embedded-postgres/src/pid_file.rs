//! `postmaster.pid`: distinguishes a live server from the files of a dead one.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::Error;

pub(crate) type Pid = libc::pid_t;

/// What `postmaster.pid` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: Pid,
    /// It takes connections.
    pub(crate) ready: bool,
    /// The folder of its socket, once it has one.
    pub(crate) socket_dir: Option<PathBuf>,
}

/// The process that serves this data directory at the moment, starting or not.
pub(crate) fn current_pid(data_dir: &Path) -> Result<Option<Pid>, Error> {
    let pid = read(data_dir)?.map(|file| file.pid);
    Ok(pid.filter(|pid| is_alive(*pid, data_dir)))
}

/// Where the server that is running has its socket.
pub(crate) fn current_socket_dir(data_dir: &Path) -> Result<Option<PathBuf>, Error> {
    let file = read(data_dir)?.filter(|file| is_alive(file.pid, data_dir));
    Ok(file.and_then(|file| file.socket_dir))
}

/// After a crash the file stays, and its number may by now be that of another
/// process of the same user, for which PostgreSQL would refuse to start.
pub(crate) fn remove_if_stale(data_dir: &Path) -> Result<(), Error> {
    if current_pid(data_dir)?.is_some() {
        return Ok(());
    }
    let file = data_dir.join("postmaster.pid");
    match fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("removing the stale file", &file)(error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn read(data_dir: &Path) -> Result<Option<PidFile>, Error> {
    let path = data_dir.join("postmaster.pid");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("reading", &path)(error)),
    }
}

/// The first line is the process, the fifth the socket's folder, the eighth the state: the
/// same that `pg_ctl --wait` goes by.
fn parse(text: &str) -> Option<PidFile> {
    let lines: Vec<&str> = text.lines().collect();
    let line = |number: usize| lines.get(number - 1).copied();
    let pid = line(1)?.trim().parse().ok()?;
    let folder = line(5).filter(|folder| folder.starts_with('/'));
    // A standby accepts connections too.
    let ready = matches!(line(8).map(str::trim), Some("ready" | "standby"));
    Some(PidFile {
        pid,
        ready,
        socket_dir: folder.map(PathBuf::from),
    })
}

/// A server works in its data directory; another process that was given the
/// number of a dead server does not. A zombie works nowhere.
#[cfg(target_os = "linux")]
pub(crate) fn is_alive(pid: Pid, data_dir: &Path) -> bool {
    let folder = match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(folder) => folder,
        // Root in a container may often not look into processes of other users.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return is_a_postgres(pid),
        Err(_) => return false,
    };
    let mut removed = data_dir.as_os_str().to_owned();
    removed.push(" (deleted)");
    folder == data_dir || folder.as_os_str() == removed
}

/// Alive and with that name, which any user can see.
#[cfg(target_os = "linux")]
fn is_a_postgres(pid: Pid) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim)
    };
    value("Name:") == Some("postgres") && value("State:").is_some_and(|s| !s.starts_with('Z'))
}

/// Without `/proc` the name has to do: alive, not a zombie, called postgres.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_alive(pid: Pid, _data_dir: &Path) -> bool {
    // SAFETY: signal 0 only checks whether the process exists.
    if unsafe { libc::kill(pid, 0) } != 0 {
        return false;
    }
    let answer = crate::children::command("ps", &[])
        .args(["-o", "stat=", "-o", "comm=", "-p", &pid.to_string()])
        .output();
    answer.is_ok_and(|answer| {
        let line = String::from_utf8_lossy(&answer.stdout);
        line.contains("postgres") && !line.trim_start().starts_with('Z')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_read_line_by_line() {
        let full = "4711\n/data\n1700000000\n5432\n/tmp/socket\n\n 5432001 3\nready   \n";
        let starting = full.replace("ready   ", "starting");
        let standby = full.replace("ready   ", "standby ");
        let early = "4711\n/data\n1700000000\n";
        let with = |ready, folder: Option<&str>| {
            Some(PidFile {
                pid: 4711,
                ready,
                socket_dir: folder.map(PathBuf::from),
            })
        };
        let file = |ready| with(ready, Some("/tmp/socket"));
        for (text, expected) in [
            (full, file(true)),
            (&standby, file(true)),
            (&starting, file(false)),
            (early, with(false, None)),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
