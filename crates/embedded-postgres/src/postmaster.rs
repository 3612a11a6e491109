//! The server's process: finding it, starting it, stopping it.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use crate::account::Account;
use crate::error::Error;
use crate::locks::wait_for;
use crate::log::Log;
use crate::paths::ClusterPaths;
use crate::pid_file::{self, Pid, is_alive};
use crate::settings::Settings;

/// Recovery after a crash replays what was written since the last checkpoint.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const FAST_STOP_TIMEOUT: Duration = Duration::from_secs(60);
const IMMEDIATE_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The children of a server that was killed notice it within moments, and as
/// long as one lives PostgreSQL refuses to start a second server.
const ORPHANS_TIMEOUT_SECONDS: u32 = 20;

/// The live server of this data directory, once it takes connections.
pub(crate) fn find(paths: &ClusterPaths) -> Result<Option<Pid>, Error> {
    let found = wait_for(START_TIMEOUT, || match pid_file::read(&paths.data_dir)? {
        Some(file) if is_alive(file.pid, &paths.data_dir) => {
            Ok(file.ready.then_some(Some(file.pid)))
        }
        _ => Ok(Some(None)),
    })?;
    let Some(pid) = found.ok_or_else(|| too_slow("the running PostgreSQL", paths))? else {
        return Ok(None);
    };
    match UnixStream::connect(paths.socket()) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            Err(Error::Unreachable {
                pid,
                data_dir: paths.data_dir.clone(),
                socket_dir: paths.socket_dir.clone(),
            })
        }
        _ => Ok(Some(pid)),
    }
}

/// Starts the server and waits until it takes connections.
pub(crate) fn launch(
    settings: &Settings,
    paths: &ClusterPaths,
    account: &Account,
) -> Result<Pid, Error> {
    for _ in 0..ORPHANS_TIMEOUT_SECONDS * 5 {
        match launch_once(settings, paths, account) {
            Err(Error::ProgramFailed { tail, .. }) if tail.contains("is still in use") => {
                tracing::debug!("processes of the crashed PostgreSQL are still ending");
                thread::sleep(Duration::from_millis(200));
            }
            outcome => return outcome,
        }
    }
    launch_once(settings, paths, account)
}

fn launch_once(settings: &Settings, paths: &ClusterPaths, account: &Account) -> Result<Pid, Error> {
    pid_file::remove_if_stale(&paths.data_dir)?;
    let log = Log::open(paths)?;
    let mut child = spawn(settings, paths, account, &log)?;
    let pid = child.id() as Pid;
    let started = wait_for(START_TIMEOUT, || {
        let ended = child
            .try_wait()
            .map_err(Error::io("waiting for", &paths.data_dir))?;
        if ended.is_some() {
            return Err(log.error_with_log_tail("postgres", paths));
        }
        let file = pid_file::read(&paths.data_dir)?;
        Ok(file.filter(|file| file.pid == pid && file.ready))
    })?;
    reap_in_background(child);
    if started.is_none() {
        stop(pid, &paths.data_dir)?;
        return Err(too_slow("the new PostgreSQL", paths));
    }
    Ok(pid)
}

fn spawn(
    settings: &Settings,
    paths: &ClusterPaths,
    account: &Account,
    log: &Log,
) -> Result<Child, Error> {
    use std::os::unix::process::CommandExt;

    let program = settings.programs.program("postgres");
    let mut command = account.command(&program);
    command
        .arg("-D")
        .arg(&paths.data_dir)
        .arg("-k")
        .arg(&paths.socket_dir)
        .args(settings.as_arguments())
        .stdout(Stdio::null())
        .stderr(log.writer()?);
    // Its own session: Ctrl-C in our terminal must reach us and not the server,
    // which other processes may be using and which we still need to finish. And
    // nothing of what we have inherited: the server outlives us, and who waits
    // for the end of a pipe or a lock of ours would wait for the server's.
    // SAFETY: system calls that take no pointers, as is allowed before exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            let limit = libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, 65_536);
            for descriptor in 3..limit as libc::c_int {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            }
            Ok(())
        });
    }
    command.spawn().map_err(Error::io("running", &program))
}

/// Another process may stop the server that we started; if no thread waited
/// for it, it would remain in the process table as long as we live.
fn reap_in_background(mut child: Child) {
    let name = "postgres-reaper".to_owned();
    let reaper = thread::Builder::new()
        .name(name)
        .spawn(move || child.wait());
    if let Err(error) = reaper {
        tracing::debug!(%error, "no thread to wait for PostgreSQL's end");
    }
}

/// Ends the server: politely, and if it does not listen, so that it recovers at
/// the next start. Knows no signal that would leave its children behind.
pub(crate) fn stop(pid: Pid, data_dir: &Path) -> Result<(), Error> {
    let ways = [
        (libc::SIGINT, FAST_STOP_TIMEOUT),
        (libc::SIGQUIT, IMMEDIATE_STOP_TIMEOUT),
    ];
    for (signal, timeout) in ways {
        if !is_alive(pid, data_dir) {
            return Ok(());
        }
        // SAFETY: takes no pointers; the process was just seen to be the server.
        unsafe { libc::kill(pid, signal) };
        if wait_for(timeout, || Ok((!is_alive(pid, data_dir)).then_some(())))?.is_some() {
            return Ok(());
        }
    }
    Err(Error::TookTooLong {
        doing: format!(
            "stopping PostgreSQL (process {pid}) on {}",
            data_dir.display()
        ),
        seconds: (FAST_STOP_TIMEOUT + IMMEDIATE_STOP_TIMEOUT).as_secs(),
        advice: "look into its log and end the process by hand".to_owned(),
    })
}

fn too_slow(who: &str, paths: &ClusterPaths) -> Error {
    Error::TookTooLong {
        doing: format!(
            "waiting until {who} on {} takes connections",
            paths.data_dir.display()
        ),
        seconds: START_TIMEOUT.as_secs(),
        advice: format!("look into {}", paths.log.display()),
    }
}
