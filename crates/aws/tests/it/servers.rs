//! Servers that stand for AWS, started by a test and ended with it. Those of queues go by a
//! clock that the test drives.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where scripts/get-aws-servers.sh has put them.
const FOLDER: &str = "SALLA_SYNC_AWS_SERVERS";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Speaks for many services.
    MiniStack,
    /// Queues only, with its own quirks.
    Fauxqs,
}

pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    /// With the machine's time, unless `clock` is given, in milliseconds since 1970.
    pub(crate) fn start(kind: Kind, clock: Option<i64>, environment: &[(&str, &str)]) -> Self {
        let servers = installed();
        let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../aws/tests/it"));
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let port = address.port().to_string();
        let mut command = match kind {
            Kind::MiniStack => {
                let mut command = bare(servers.join("venv/bin/python"));
                command
                    .arg(here.join("start_ministack.py"))
                    .env("BIND_HOST", "127.0.0.1")
                    .env("GATEWAY_PORT", &port)
                    // Its functions find it so.
                    .env("AWS_ENDPOINT_URL", format!("http://{address}"))
                    .env("IOT_MTLS_ENABLED", "0");
                command
            }
            Kind::Fauxqs => {
                let mut command = bare("node");
                command
                    .arg(here.join("start_fauxqs.mjs"))
                    .env("FAUXQS", &servers)
                    .env("PORT", &port);
                command
            }
        };
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let also = log.try_clone().expect("the same log");
        if let Some(clock) = clock {
            let file = folder.path().join("clock");
            std::fs::write(&file, clock.to_string()).expect("a clock");
            command.env("CLOCK_FILE", file);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        command
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(also);
        let child = command.spawn().expect("the server starts");
        let mut server = Self {
            child,
            address,
            folder,
        };
        server.wait();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it keeps what it writes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sets the time that its queues go by.
    pub(crate) fn set_clock(&self, milliseconds: i64) {
        let (new, file) = (self.folder().join("new"), self.folder().join("clock"));
        std::fs::write(&new, milliseconds.to_string()).expect("the time");
        std::fs::rename(new, file).expect("the new time");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    fn wait(&mut self) {
        for _ in 0..600 {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                panic!("the server ended with {status}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server does not listen: {}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Nothing of the test's own environment, which functions would inherit.
fn bare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let kept = ["PATH", "HOME", "TMPDIR"].map(|name| (name, std::env::var_os(name)));
    command.env_clear().env("LANG", "C.UTF-8");
    for (name, value) in kept {
        command.envs(value.map(|value| (name, value)));
    }
    command
}

/// The folder; fetched first where nothing has done it before.
pub(crate) fn installed() -> PathBuf {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return folder.into();
    }
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../scripts/get-aws-servers.sh"
    );
    let output = Command::new(script).output().expect("the script runs");
    let (folder, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{errors}");
    folder.lines().last().expect("a folder").into()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}
