//! Files and names that nothing checks when the program is compiled.

use std::collections::BTreeSet;
use std::path::Path;

use ring::digest;

/// As `sha256sum` writes them. Databases store the checksums of migrations, and every stored
/// record was compressed with the dictionary.
const CHECKSUMS: &str = include_str!("checksums.txt");

/// Later migrations are added here when they have been released.
const LATEST: &str = "0045";

#[test]
fn released_migrations_and_the_dictionary_keep_their_bytes() {
    let database = Path::new(env!("CARGO_MANIFEST_DIR")).join("../database");
    let mut known = BTreeSet::new();
    for line in CHECKSUMS.lines() {
        let (sum, path) = line.split_once("  ").expect("a checksum and a path");
        let bytes = std::fs::read(database.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let digest = digest::digest(&digest::SHA256, &bytes);
        assert_eq!(hex::encode(digest), sum, "{path} has changed");
        known.insert(path.to_owned());
    }
    let folder = std::fs::read_dir(database.join("migrations")).expect("there are migrations");
    for entry in folder {
        let name = entry.expect("it can be listed").file_name();
        let name = name.to_str().expect("its name is plain");
        let is_released = name.get(..4).is_some_and(|number| number <= LATEST);
        let is_known = known.contains(&format!("migrations/{name}"));
        assert!(!is_released || is_known, "{name} is not in the list");
    }
}

/// A point of a call that no wrapper makes is never reached, and the suite stays green.
#[test]
fn chaos_interrupts_only_calls_that_it_wraps() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos");
    let read = |path: &Path| std::fs::read_to_string(path).expect("it can be read");
    let ports = read(&folder.join("ports.rs"));
    let by_hand = ports.split("around(\"").skip(1);
    let by_hand = by_hand.filter_map(|rest| rest.split('"').next());
    let by_macro = ports.split("trapped! {").skip(1).flat_map(|port| {
        let methods = port.split("\n}").next().unwrap_or_default().split(';');
        methods.filter_map(|method| method.split('(').next()?.split_whitespace().last())
    });
    let wrapped: BTreeSet<&str> = by_hand.chain(by_macro).collect();
    assert!(wrapped.contains("list_page") && wrapped.contains("claim"));

    let files = std::fs::read_dir(&folder).expect("there is a suite");
    let mut called = BTreeSet::new();
    for file in files {
        let text = read(&file.expect("it can be listed").path());
        let Some((_, list)) = text.split_once("const CALLS:") else {
            continue;
        };
        let list = list.split("];").next().unwrap_or_default();
        let names = list.split('"').skip(1).step_by(2);
        called.extend(names.map(str::to_owned));
    }
    assert!(called.len() > 20, "{called:?}");
    let stale = called
        .iter()
        .filter(|name| !wrapped.contains(name.as_str()));
    assert_eq!(stale.collect::<Vec<_>>(), Vec::<&String>::new());
}
