//! What a server or a starter that was killed leaves behind.

use std::fs;

use embedded_postgres::{LeaveOutcome, Server, Settings};

use crate::client::Client;
use crate::helper::{Process, passable_folder, programs, settings};

#[test]
fn a_killed_server_recovers_what_was_committed() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let server = Server::start(Settings::new(&data_dir, programs())).unwrap();
    let mut client = Client::connect(&server);
    client.ask("create table kept (n int)");
    client.ask("insert into kept select generate_series(1, 1000)");
    let dead = Process::of(&server);
    dead.signal(libc::SIGKILL);
    dead.ends();

    // The first user has not left: a crash must not make it the last obstacle.
    let successor = Server::start(Settings::new(&data_dir, programs())).unwrap();
    assert!(!successor.attached());
    let count = Client::connect(&successor).ask_one("select count(*) from kept");
    assert_eq!(count, "1000");
    assert_eq!(server.leave().unwrap(), LeaveOutcome::StillInUse);
    assert_eq!(successor.leave().unwrap(), LeaveOutcome::Stopped);
}

#[test]
fn a_number_that_now_belongs_to_another_process_is_seen_through() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    Server::start(settings(&data_dir)).unwrap().leave().unwrap();
    let stale = format!(
        "{}\n{}\n1\n5432\n/tmp\n\n1 1\nready\n",
        std::process::id(),
        data_dir.display()
    );
    fs::write(data_dir.join("postmaster.pid"), stale).unwrap();
    let server = Server::start(settings(&data_dir)).unwrap();
    assert!(!server.attached());
    assert_eq!(Client::connect(&server).ask_one("select 1"), "1");
}

#[test]
fn a_half_made_cluster_is_made_again() {
    let place = passable_folder();
    fs::create_dir_all(place.path().join("db.new/base/1")).unwrap();
    fs::write(place.path().join("db.new/PG_VERSION"), "9").unwrap();
    let server = Server::start(settings(&place.path().join("db"))).unwrap();
    assert_eq!(Client::connect(&server).ask_one("select 1"), "1");
    assert!(!place.path().join("db.new").exists());
}
