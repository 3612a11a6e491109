//! The server for all tests, and the watchdog that ends it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use embedded_postgres::{Server, Wanted};

use crate::client::Client;
use crate::helper::{Holder, eventually, kill, passable_folder, search, settings};

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn many_processes_share_one_and_nothing_stays_behind() {
    let place = passable_folder();
    let processes: Vec<_> = (0..4)
        .map(|_| Holder::spawn("shared", place.path()))
        .collect();
    let holders: Vec<_> = processes
        .into_iter()
        .map(Holder::wait_until_ready)
        .collect();
    let pid = holders[0].server_pid;
    assert!(holders.iter().all(|holder| holder.server_pid == pid));
    assert_eq!(holders.iter().filter(|holder| !holder.attached).count(), 1);

    // Longer than the watchdog's patience: it must see the users.
    thread::sleep(Duration::from_secs(4));
    assert!(kill(pid, 0), "stopped while in use");
    holders.into_iter().for_each(Holder::kill);
    eventually("the server is stopped", || !kill(pid, 0));
    eventually("its files are removed", || is_empty(place.path()));
}

#[test]
fn a_pause_shorter_than_the_watchdogs_patience_keeps_it() {
    let place = passable_folder();
    let idle = Duration::from_secs(5);
    let open = || Server::shared_until_idle(&search(), &Wanted::Any, place.path(), idle).unwrap();
    let first = open();
    let pid = first.pid();
    drop(first);
    thread::sleep(Duration::from_secs(2));
    let second = open();
    assert!(second.attached());
    assert_eq!(Client::connect(&second).ask_one("show fsync"), "off");
    drop(second);
    eventually("the server is stopped", || !kill(pid, 0));
    eventually("its files are removed", || is_empty(place.path()));
    // The next run begins anew.
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
    assert!(kill(first.pid(), libc::SIGKILL));
    eventually("the process is gone", || !kill(first.pid(), 0));
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
    let only = Holder::start("watched", &data_dir);
    let pid = only.server_pid;
    only.kill();
    eventually("the server is stopped", || !kill(pid, 0));
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
    for entry in fs::read_dir(place.path()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    assert!(kill(first.pid(), libc::SIGQUIT));
    eventually("the process is gone", || !kill(first.pid(), 0));
    drop(first);
    let second = open(1);
    thread::sleep(Duration::from_secs(5));
    assert_eq!(Client::connect(&second).ask_one("select 1"), "1");
    drop(second);
    eventually("its files are removed", || is_empty(place.path()));
}
