//! What the processes that are started here inherit.

use std::fs;

use crate::helper::{ServerProcess, eventually, passable_folder};

/// As `/proc` shows it, of every process that we may look into: number, name, environment.
fn processes() -> Vec<(u32, String, Vec<String>)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let readable = numbers.filter_map(|pid: u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let variables = environment.split(|byte| *byte == 0);
        let variables = variables.filter(|variable| !variable.is_empty());
        let variables = variables.map(|each| String::from_utf8_lossy(each).into_owned());
        Some((pid, name.trim().to_owned(), variables.collect()))
    });
    readable.collect()
}

/// The server and its watchdog outlive the program by a quarter of an hour, and the server
/// runs under another account.
#[cfg(target_os = "linux")]
#[test]
fn neither_the_server_nor_its_watchdog_has_our_secrets() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    // Found in any process that has it, whatever the name of the variable.
    let secret = format!("secret-{}", std::process::id());
    let variables = [
        ("SALLA_CLIENT_SECRET", secret.as_str()),
        ("DATABASE_URL", secret.as_str()),
        ("PGPASSWORD", secret.as_str()),
        ("OF_ANOTHER_PROGRAM", secret.as_str()),
        ("TZ", "Asia/Riyadh"),
    ];
    let process = ServerProcess::wait_until_ready(ServerProcess::spawn_with(
        "watched", &data_dir, &variables,
    ));
    eventually("only its owner has the secret", || {
        let processes = processes();
        let have_it = processes
            .iter()
            .filter(|(_, _, variables)| variables.iter().any(|each| each.contains(&secret)));
        have_it.map(|(pid, ..)| *pid).eq([process.pid()])
    });

    let processes = processes();
    let of = |wanted: u32| processes.iter().find(|(pid, ..)| *pid == wanted);
    let (_, _, variables) =
        of(process.server.pid().cast_unsigned()).expect("root may look into the server");
    let inherited = |name: &str| variables.iter().any(|each| each.starts_with(name));
    for name in ["PATH=", "LC_ALL=C", "TZ=Asia/Riyadh"] {
        assert!(inherited(name), "{name} is missing: {variables:?}");
    }
    // Root sees the watchdog as well; no other user does, because it is not dumpable.
    let sees_watchdog = processes.iter().any(|(_, name, _)| name == "pg-watchdog");
    // SAFETY: takes no pointers and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    assert!(sees_watchdog || !is_root);
    process.kill();
}
