//! Starting, sharing and leaving.

use std::fs;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::os::unix::fs::PermissionsExt;

use embedded_postgres::{LeaveOutcome, Lifetime, Server, Settings, made_by};

use crate::client::Client;
use crate::helper::{Process, ServerProcess, passable_folder, programs, settings};

#[test]
fn a_durable_server_is_made_used_stopped_and_found_again() {
    let place = passable_folder();
    let data_dir = place.path().join("state/db");
    let first = Server::start(Settings::new(&data_dir, programs())).unwrap();
    assert!(!first.attached());
    let mut client = Client::connect(&first);
    for (question, expected) in [
        ("show fsync", "on"),
        ("show wal_level", "logical"),
        ("show listen_addresses", ""),
        ("show server_encoding", "UTF8"),
        ("show timezone", "UTC"),
        ("select datcollate from pg_database", "C"),
    ] {
        assert_eq!(client.ask_one(question), expected, "{question}");
    }
    client.ask("create table kept as select 'قهوة' as word");
    assert_eq!(first.leave().unwrap(), LeaveOutcome::Stopped);

    assert_eq!(made_by(&data_dir).unwrap(), Some(programs().major));
    let second = Server::start(Settings::new(&data_dir, programs())).unwrap();
    assert!(!second.attached());
    assert_eq!(
        Client::connect(&second).ask_one("select word from kept"),
        "قهوة"
    );
    let socket_dir = second.socket_dir().to_owned();
    drop(second);
    assert!(!socket_dir.exists(), "the socket's folder was left behind");
}

#[test]
fn a_throwaway_server_does_not_wait_for_the_disk() {
    let place = passable_folder();
    let server = Server::start(settings(&place.path().join("db"))).unwrap();
    assert_eq!(Client::connect(&server).ask_one("show fsync"), "off");
}

#[test]
fn extra_settings_are_the_starters() {
    let place = passable_folder();
    let mut settings = settings(&place.path().join("db"));
    settings.extra = vec![("max_connections".to_owned(), "23".to_owned())];
    let server = Server::start(settings).unwrap();
    assert_eq!(
        Client::connect(&server).ask_one("show max_connections"),
        "23"
    );
}

#[test]
fn the_last_user_stops_it() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let first = Server::start(settings(&data_dir)).unwrap();
    let second = Server::start(settings(&data_dir)).unwrap();
    assert!(second.attached());
    assert_eq!(first.pid(), second.pid());
    let process = Process::of(&first);
    assert_eq!(first.leave().unwrap(), LeaveOutcome::StillInUse);
    assert_eq!(Client::connect(&second).ask_one("select 1"), "1");
    assert_eq!(second.leave().unwrap(), LeaveOutcome::Stopped);
    process.ends();
}

#[test]
fn a_killed_starter_leaves_it_to_the_others() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let starter = ServerProcess::start("private", &data_dir);
    let server = Server::start(settings(&data_dir)).unwrap();
    assert!(server.attached());
    starter.kill();
    assert_eq!(Client::connect(&server).ask_one("select 1"), "1");
    assert_eq!(server.leave().unwrap(), LeaveOutcome::Stopped);
}

#[test]
fn a_killed_last_user_leaves_it_to_the_next() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let only = ServerProcess::start("private", &data_dir);
    let left = only.kill();
    let next = Server::start(settings(&data_dir)).unwrap();
    assert!(next.attached());
    assert_eq!(next.pid(), left.pid());
    assert_eq!(next.leave().unwrap(), LeaveOutcome::Stopped);
}

#[test]
fn starters_at_the_same_moment_yield_one_server() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let rivals: Vec<_> = (0..4)
        .map(|_| ServerProcess::spawn("private", &data_dir))
        .collect();
    let holders: Vec<_> = rivals
        .into_iter()
        .map(ServerProcess::wait_until_ready)
        .collect();
    let starters = holders.iter().filter(|process| !process.attached).count();
    assert_eq!(starters, 1);
    assert!(
        holders
            .iter()
            .all(|process| process.server.pid() == holders[0].server.pid())
    );
    for process in holders {
        process.kill();
    }
    assert_eq!(
        Server::start(settings(&data_dir)).unwrap().leave().unwrap(),
        LeaveOutcome::Stopped
    );
}

#[test]
fn an_outliving_server_is_stopped_by_name() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let outliving = Settings {
        lifetime: Lifetime::Outlive,
        ..settings(&data_dir)
    };
    let server = Server::start(outliving.clone()).unwrap();
    let process = Process::of(&server);
    assert_eq!(server.leave().unwrap(), LeaveOutcome::LeftRunning);
    let again = Server::start(outliving).unwrap();
    assert!(again.attached());
    again.stop().unwrap();
    process.ends();
}

#[test]
fn a_path_longer_than_a_socket_may_have_is_no_obstacle() {
    let place = passable_folder();
    let data_dir = place.path().join("long ".repeat(30)).join("it's \"here\"");
    let server = Server::start(settings(&data_dir)).unwrap();
    assert_eq!(Client::connect(&server).ask_one("select 1"), "1");
    assert!(
        server
            .url("shop")
            .contains("/shop?host=/tmp/salla-sync-pg-")
    );
}

#[test]
fn a_folder_that_only_we_may_enter_is_no_obstacle() {
    let place = passable_folder();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let data_dir = place.path().join("db");
    let server = Server::start(settings(&data_dir)).unwrap();
    assert_eq!(Client::connect(&server).ask_one("select 1"), "1");
    server.leave().unwrap();
    // The second start must come to the same account as the first.
    Server::start(settings(&data_dir)).unwrap();
}

#[test]
fn files_removed_under_a_server_are_not_made_again() {
    let place = passable_folder();
    let folder = place.path().join("state");
    let server = Server::start(settings(&folder.join("db"))).unwrap();
    let process = Process::of(&server);
    fs::remove_dir_all(&folder).unwrap();
    drop(server);
    process.ends();
    assert!(!folder.exists());
}

/// `make demo | tee log` must end with the program and not with the server that it
/// leaves behind.
#[test]
fn a_server_that_outlives_us_holds_nothing_of_ours_open() {
    let place = passable_folder();
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: the descriptors were just made and have no other owner.
    let [mut ours, theirs] = ends.map(|end| unsafe { fs::File::from_raw_fd(end) });
    let server = Server::start(settings(&place.path().join("db"))).unwrap();
    drop(theirs);
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(ours.read_to_end(&mut Vec::new())));
    let ended = ended.recv_timeout(std::time::Duration::from_secs(120));
    assert!(ended.is_ok(), "the server keeps our pipe open");
    drop(server);
}

/// Of two programs one was started in a session and one was not: they meet all the same.
#[test]
fn the_socket_lies_where_its_starter_wanted_it() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let first = Server::start(Settings {
        runtime_dirs: vec![place.path().to_owned()],
        ..settings(&data_dir)
    })
    .unwrap();
    assert!(first.socket_dir().starts_with(place.path()));
    let second = Server::start(settings(&data_dir)).unwrap();
    assert_eq!(second.socket_dir(), first.socket_dir());
    assert_eq!(Client::connect(&second).ask_one("select 1"), "1");
    let folder = first.socket_dir().to_owned();
    drop((first, second));
    assert!(!folder.exists(), "the socket's folder was left behind");
}

/// The folder of a session goes with the session.
#[test]
fn a_watched_server_whose_socket_is_gone_is_stopped_all_the_same() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let server = Server::start(Settings {
        lifetime: Lifetime::StopWhenIdle(std::time::Duration::from_secs(1)),
        ..settings(&data_dir)
    })
    .unwrap();
    let process = Process::with_pid(server.pid());
    fs::remove_dir_all(server.socket_dir()).unwrap();
    drop(server);
    process.ends();
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_is_found_by_root_who_may_not_look_into_it() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let server = Server::start(settings(&data_dir)).unwrap();
    let confined = ServerProcess::spawn_confined("private", &data_dir);
    let confined = ServerProcess::wait_until_ready(confined);
    assert!(confined.attached);
    assert_eq!(confined.server.pid(), server.pid());
    confined.kill();
}
