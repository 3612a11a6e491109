//! The server for all tests, and the watchdog that ends it.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use embedded_postgres::{Server, Wanted};

use crate::client::Client;
use crate::helper::{Process, ServerProcess, eventually, passable_folder, search, settings};

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// What the watchdog of the one cluster in a folder holds as long as it lives.
fn watchdog_lock(place: &Path) -> File {
    let clusters = fs::read_dir(place).unwrap();
    let mut files = clusters.flat_map(|cluster| fs::read_dir(cluster.unwrap().path()).unwrap());
    let lock = files.find_map(|file| {
        let path = file.unwrap().path();
        path.to_str()?.ends_with(".watchdog.lock").then_some(path)
    });
    let lock = File::open(lock.expect("there is a watchdog")).unwrap();
    assert!(lock.try_lock().is_err(), "it lives");
    lock
}

#[test]
fn many_processes_share_one_and_nothing_stays_behind() {
    let place = passable_folder();
    let processes: Vec<_> = (0..4)
        .map(|_| ServerProcess::spawn("shared", place.path()))
        .collect();
    let holders: Vec<_> = processes
        .into_iter()
        .map(ServerProcess::wait_until_ready)
        .collect();
    let pid = holders[0].server.pid();
    assert!(holders.iter().all(|process| process.server.pid() == pid));
    assert_eq!(
        holders.iter().filter(|process| !process.attached).count(),
        1
    );

    // Longer than the watchdog's timeout: it must see the users.
    thread::sleep(Duration::from_secs(4));
    assert!(holders[0].server.is_alive(), "stopped while in use");
    for left in holders.into_iter().map(ServerProcess::kill) {
        left.ends();
    }
    eventually("its files are removed", || is_empty(place.path()));
}

#[test]
fn a_pause_shorter_than_the_watchdogs_timeout_keeps_it() {
    let place = passable_folder();
    // Much longer than the pause, which a busy machine makes longer.
    let idle = Duration::from_secs(12);
    let open = || Server::shared_until_idle(&search(), &Wanted::Any, place.path(), idle).unwrap();
    let first = open();
    let process = Process::of(&first);
    drop(first);
    // The watchdog looks every second.
    thread::sleep(Duration::from_secs(2));
    let second = open();
    assert!(second.attached());
    assert_eq!(Client::connect(&second).ask_one("show fsync"), "off");
    drop(second);
    process.ends();
    eventually("its files are removed", || is_empty(place.path()));
    // The next run starts from scratch.
    let third = open();
    assert!(!third.attached());
    drop(third);
    eventually("its files are removed", || is_empty(place.path()));
}

#[test]
fn a_crashed_throwaway_cluster_is_thrown_away() {
    let place = passable_folder();
    let idle = Duration::from_secs(2);
    let open = || Server::shared_until_idle(&search(), &Wanted::Any, place.path(), idle).unwrap();
    let first = open();
    Client::connect(&first).ask("create table gone (n int)");
    let process = Process::of(&first);
    process.signal(libc::SIGKILL);
    process.ends();
    let second = open();
    let left =
        Client::connect(&second).ask_one("select count(*) from pg_tables where tablename = 'gone'");
    assert_eq!(left, "0");
    drop((first, second));
    eventually("its files are removed", || is_empty(place.path()));
}

#[test]
fn a_watched_server_stops_and_keeps_its_files() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let only = ServerProcess::start("watched", &data_dir);
    only.kill().ends();
    let next = Server::start(settings(&data_dir)).unwrap();
    assert!(!next.attached());
}

#[test]
fn a_watchdog_whose_files_were_replaced_spares_the_successor() {
    let place = passable_folder();
    let open = |idle| {
        let idle = Duration::from_secs(idle);
        Server::shared_until_idle(&search(), &Wanted::Any, place.path(), idle).unwrap()
    };
    let first = open(2);
    let its_watchdog = watchdog_lock(place.path());
    for entry in fs::read_dir(place.path()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    // A server without files ends on its own, sooner or later.
    let process = Process::of(&first);
    process.signal(libc::SIGQUIT);
    process.ends();
    drop(first);
    let second = open(1);
    eventually("the first watchdog has ended", || {
        its_watchdog.try_lock().is_ok()
    });
    assert_eq!(Client::connect(&second).ask_one("select 1"), "1");
    drop(second);
    eventually("its files are removed", || is_empty(place.path()));
}
