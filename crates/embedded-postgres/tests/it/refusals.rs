//! What is refused, and that the refusal helps.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use embedded_postgres::{Error, Search, Server, Settings, Wanted, find_programs};

use crate::helper::{passable_folder, programs, settings};

#[test]
fn another_major_version_is_refused_in_one_sentence() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("PG_VERSION"), "13\n").unwrap();
    let refusal = Server::start(settings(&data_dir)).unwrap_err();
    let expected = format!(
        "{0} was made by PostgreSQL 13 and cannot be opened by PostgreSQL {1}: use the programs of \
         PostgreSQL 13, or move the folder away to begin with an empty database",
        data_dir.canonicalize().unwrap().display(),
        programs().major
    );
    assert_eq!(refusal.to_string(), expected);
}

#[test]
fn a_folder_of_other_things_is_refused() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("letters.txt"), "").unwrap();
    let refusal = Server::start(settings(&data_dir)).unwrap_err();
    assert!(
        matches!(refusal, Error::NotADataDirectory { .. }),
        "{refusal}"
    );
    assert!(data_dir.join("letters.txt").exists());
}

#[test]
fn a_failed_start_shows_what_the_server_said() {
    let place = passable_folder();
    let mut settings = settings(&place.path().join("db"));
    settings.extra = vec![("shared_buffers".to_owned(), "much".to_owned())];
    let refusal = Server::start(settings).unwrap_err().to_string();
    assert!(refusal.contains("db.log"), "{refusal}");
    assert!(refusal.contains("invalid value for parameter"), "{refusal}");
}

#[test]
fn a_server_whose_socket_is_gone_is_named_with_its_process() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let server = Server::start(settings(&data_dir)).unwrap();
    fs::remove_dir_all(server.socket_dir()).unwrap();
    let refusal = Server::start(settings(&data_dir)).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains(&format!("kill -INT {}", server.pid())),
        "{refusal}"
    );
}

/// Only root can give a folder to another user; for others the unit tests use another user's folder
/// instead.
#[test]
fn a_strangers_socket_folder_is_refused() {
    let place = passable_folder();
    let data_dir = place.path().join("db");
    let server = Server::start(settings(&data_dir)).unwrap();
    let socket_dir = server.socket_dir().to_owned();
    server.leave().unwrap();
    fs::create_dir(&socket_dir).unwrap();
    if chown(&socket_dir, Some(4242), Some(4242)).is_ok() {
        let refusal = Server::start(settings(&data_dir)).unwrap_err();
        assert!(
            matches!(refusal, Error::NotOurs { owner: 4242, .. }),
            "{refusal}"
        );
    }
    fs::remove_dir(&socket_dir).unwrap();
}

#[test]
fn without_postgresql_it_says_how_to_get_one() {
    let refusal = find_programs(&Search::default(), &Wanted::Major(99))
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("apt-get install postgresql"), "{refusal}");
    assert!(refusal.contains("scripts/get-postgres.sh"), "{refusal}");
}

#[test]
fn programs_that_were_named_must_work() {
    for (wanted, reason) in [
        (Wanted::Bin(PathBuf::from("/nowhere")), "did not start"),
        (Wanted::Major(99), "wanted was 99"),
    ] {
        let search = Search {
            pg_bin: Some(programs().bin),
            ..Search::default()
        };
        let refusal = find_programs(&search, &wanted).unwrap_err().to_string();
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn the_programs_found_are_those_named() {
    let named = programs();
    let search = Search {
        pg_bin: Some(named.bin.clone()),
        ..Search::default()
    };
    assert_eq!(
        find_programs(&search, &Wanted::Major(named.major)).unwrap(),
        named
    );
    let place = passable_folder();
    let server = Server::start(Settings::new(place.path().join("db"), named)).unwrap();
    assert_eq!(server.data_dir().file_name().unwrap(), "db");
}
