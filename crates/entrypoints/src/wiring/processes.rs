//! The processes of this machine, by `/proc`. Without it, as on macOS, nothing is known, and leases
//! must expire.

use std::path::Path;

use importer::ports::runs::{ProcessId, Processes};

/// [`Processes`] by the kernel's own account.
#[derive(Clone, Debug)]
pub struct LocalProcesses {
    this: Option<ProcessId>,
}

impl LocalProcesses {
    pub fn new() -> Self {
        Self { this: this() }
    }
}

impl Default for LocalProcesses {
    fn default() -> Self {
        Self::new()
    }
}

impl Processes for LocalProcesses {
    fn this(&self) -> Option<ProcessId> {
        self.this.clone()
    }

    fn is_gone(&self, process: &ProcessId) -> bool {
        let is_of_this_host = self.this.as_ref().is_some_and(|me| me.host == process.host);
        is_of_this_host && !exists(process)
    }
}

fn this() -> Option<ProcessId> {
    let pid = std::process::id();
    // A `/proc` of another namespace numbers processes in another way.
    let own = std::fs::read_link("/proc/self").ok()?;
    if own != Path::new(&pid.to_string()) {
        return None;
    }
    Some(ProcessId {
        host: host()?,
        pid,
        started: stat(pid)?.started,
    })
}

/// Names what process ids and their start times belong to: this boot of the kernel and this
/// namespace of processes, and of times if there are any. The host's name distinguishes copies of a
/// virtual machine that were made while it ran.
fn host() -> Option<String> {
    let text = |path: &str| std::fs::read_to_string(path).ok();
    let boot = text("/proc/sys/kernel/random/boot_id")?;
    let name = text("/proc/sys/kernel/hostname")?;
    let namespace = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).ok();
    let times = namespace("time").unwrap_or_default();
    Some(format!(
        "{} {} {} {}",
        boot.trim(),
        namespace("pid")?.display(),
        times.display(),
        name.trim()
    ))
}

/// Whether a process of this host may still exist.
fn exists(process: &ProcessId) -> bool {
    let Ok(pid) = i32::try_from(process.pid) else {
        return true;
    };
    // SAFETY: signal 0 only checks the process; kill(2) has no memory effects.
    let answer = unsafe { libc::kill(pid, 0) };
    let error = std::io::Error::last_os_error().raw_os_error();
    if answer != 0 && error == Some(libc::ESRCH) {
        return false;
    }
    // What cannot be read, such as another user's process where /proc hides these, may be it.
    stat(process.pid).is_none_or(|now| now.started == process.started && !now.has_ended)
}

struct Stat {
    started: u64,
    /// It waits for its parent to take notice of its end.
    has_ended: bool,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, which may hold blanks and brackets, ends with the last bracket; the state
/// follows, and nineteen fields later the start.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Stat {
        has_ended: matches!(state, "Z" | "X" | "x"),
        started: fields.nth(18)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn id_of(pid: u32) -> ProcessId {
        ProcessId {
            started: stat(pid).unwrap().started,
            pid,
            host: host().unwrap(),
        }
    }

    #[test]
    fn a_living_process_is_not_gone() {
        let processes = LocalProcesses::new();
        let this = processes.this().unwrap();
        assert_eq!(this, id_of(std::process::id()));
        assert!(!processes.is_gone(&this));
        // Of another user, unless the test runs as root.
        assert!(!processes.is_gone(&id_of(1)));
    }

    #[test]
    fn a_process_that_ended_is_gone_before_and_after_its_parent_knows() {
        let processes = LocalProcesses::new();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = id_of(child.id());
        assert!(!processes.is_gone(&process));
        child.kill().unwrap();
        while !stat(process.pid).unwrap().has_ended {
            std::thread::yield_now();
        }
        assert!(processes.is_gone(&process), "it was not waited for yet");
        child.wait().unwrap();
        assert!(processes.is_gone(&process));
    }

    #[test]
    fn another_process_with_the_same_number_does_not_keep_a_run() {
        let processes = LocalProcesses::new();
        let mut former = processes.this().unwrap();
        former.started -= 1;
        assert!(processes.is_gone(&former));
    }

    #[test]
    fn of_another_place_nothing_is_known() {
        let processes = LocalProcesses::new();
        let this = processes.this().unwrap();
        let (boot, rest) = this.host.split_once(' ').unwrap();
        let (namespaces, name) = rest.rsplit_once(' ').unwrap();
        let elsewhere = [
            format!("00000000-0000-0000-0000-000000000000 {rest}"),
            format!("{boot} pid:[1] time:[1] {name}"),
            format!("{boot} {namespaces} another-{name}"),
            String::new(),
        ];
        for host in elsewhere {
            let dead = ProcessId {
                host,
                pid: u32::MAX >> 1,
                started: 1,
            };
            assert!(!processes.is_gone(&dead), "{dead:?}");
        }
        let nowhere = LocalProcesses { this: None };
        let mut dead = this;
        dead.pid = u32::MAX >> 1;
        assert!(!nowhere.is_gone(&dead));
        assert!(processes.is_gone(&dead));
    }

    #[test]
    fn names_of_processes_do_not_confuse_their_start() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        for name in ["cat", "a b", "a) Z 1 (b", ") ("] {
            let stat = parse_stat(&format!("17 ({name}) {rest}")).unwrap();
            assert_eq!((stat.started, stat.has_ended), (4242, false), "{name}");
        }
        assert!(parse_stat("17 (cat) Z 1 2").is_none());
        assert!(parse_stat("").is_none());
    }
}
