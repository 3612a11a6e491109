//! Another process that uses a server, to be killed at will.
//!
//! The test executable starts itself again and asks for the one ignored test
//! below, which does nothing when it is run by hand.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use embedded_postgres::{
    Durability, Lifetime, Programs, Search, Server, Settings, Wanted, find_programs,
};
use tempfile::TempDir;

pub(crate) fn search() -> Search {
    Search::from_lookup(|name| std::env::var_os(name))
}

pub(crate) fn programs() -> Programs {
    find_programs(&search(), &Wanted::Any).unwrap()
}

/// Most tests do not care for their data after a power cut.
pub(crate) fn settings(data_dir: &Path) -> Settings {
    Settings {
        durability: Durability::Throwaway,
        ..Settings::new(data_dir, programs())
    }
}

/// A folder that other users may pass through, so that root can hand the server
/// to the user `postgres`.
pub(crate) fn passable_folder() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    place
}

/// A server's process. It may end at any time, and another one that has its number since is not
/// mistaken for it.
pub(crate) struct Process {
    pid: i32,
    began: Option<String>,
}

impl Process {
    pub(crate) fn of(server: &Server) -> Self {
        Self::with_pid(server.pid())
    }

    pub(crate) fn with_pid(pid: i32) -> Self {
        Self {
            pid,
            began: began(pid),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn is_alive(&self) -> bool {
        // SAFETY: takes no pointers.
        let exists = unsafe { libc::kill(self.pid, 0) == 0 };
        exists && began(self.pid) == self.began
    }

    /// Sends a signal, unless it is gone already.
    pub(crate) fn signal(&self, signal: i32) {
        if self.is_alive() {
            // SAFETY: takes no pointers.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    pub(crate) fn ends(&self) {
        eventually("the process is gone", || !self.is_alive());
    }
}

/// When a process began, where the system says so.
fn began(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().nth(19)?.to_owned())
}

/// Waits for what has to come, however busy the machine is.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("still not after 120 s: {what}");
}

/// A process that holds a server until it is killed.
pub(crate) struct ServerProcess {
    process: Child,
    pub(crate) server: Process,
    pub(crate) attached: bool,
}

impl ServerProcess {
    pub(crate) fn start(task: &str, place: &Path) -> Self {
        Self::wait_until_ready(Self::spawn(task, place))
    }

    pub(crate) fn spawn(task: &str, place: &Path) -> Child {
        Self::spawn_with(task, place, &[])
    }

    pub(crate) fn spawn_with(task: &str, place: &Path, variables: &[(&str, &str)]) -> Child {
        let mut command = Self::command(task, place);
        command.envs(variables.iter().copied()).spawn().unwrap()
    }

    /// As root in a container, who may not look into other users' processes.
    #[cfg(target_os = "linux")]
    pub(crate) fn spawn_confined(task: &str, place: &Path) -> Child {
        use std::os::unix::process::CommandExt;

        const CAP_SYS_PTRACE: libc::c_ulong = 19;
        let mut command = Self::command(task, place);
        // SAFETY: a system call that takes no pointers. It is refused to others than root,
        // who have no such right in the first place.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0);
                Ok(())
            });
        }
        command.spawn().unwrap()
    }

    fn command(task: &str, place: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "helper::run_a_server",
                "--ignored",
                "--nocapture",
            ])
            .env("HOLDER_TASK", task)
            .env("HOLDER_PLACE", place)
            .stdout(Stdio::piped());
        command
    }

    pub(crate) fn wait_until_ready(mut process: Child) -> Self {
        let output = BufReader::new(process.stdout.take().unwrap());
        let report = output
            .lines()
            .map(Result::unwrap)
            .find_map(|line| Some(line.split_once("holding ")?.1.to_owned()))
            .expect("the helper came to an end");
        let (pid, attached) = report.split_once(' ').unwrap();
        Self {
            process,
            server: Process::with_pid(pid.parse().unwrap()),
            attached: attached == "true",
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Gives the server that it leaves behind.
    pub(crate) fn kill(mut self) -> Process {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.server
    }
}

#[test]
#[ignore = "the other process of other tests"]
fn run_a_server() {
    let (Some(task), Some(place)) = (
        std::env::var_os("HOLDER_TASK"),
        std::env::var_os("HOLDER_PLACE"),
    ) else {
        return;
    };
    let place = Path::new(&place);
    let idle = Duration::from_secs(2);
    let server = match task.to_str().unwrap() {
        "private" => Server::start(settings(place)),
        "watched" => Server::start(Settings {
            lifetime: Lifetime::StopWhenIdle(idle),
            ..settings(place)
        }),
        "shared" => Server::shared_until_idle(&search(), &Wanted::Any, place, idle),
        unknown => panic!("no such task: {unknown}"),
    };
    let server = server.unwrap();
    println!("holding {} {}", server.pid(), server.attached());
    std::io::stdout().flush().unwrap();
    thread::sleep(Duration::from_secs(120));
}
