//! Holds the floor plan of ARCHITECTURE.md: arrows between crates go down only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Which crates of the workspace a crate may name in its code.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("domain", [].as_slice()),
        ("aws", &["domain", "importer"]),
        ("importer", &["domain"]),
        ("salla-client", &["domain", "importer"]),
        ("database", &["domain", "importer", "embedded-postgres"]),
        ("notifiers", &["domain", "importer"]),
        ("web", &["domain", "importer"]),
        ("embedded-postgres", &[]),
        ("salla-simulator", &[]),
        (
            "entrypoints",
            &[
                "aws",
                "domain",
                "importer",
                "salla-client",
                "database",
                "embedded-postgres",
                "notifiers",
                "web",
                "salla-simulator",
            ],
        ),
    ])
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()
        .expect("cargo metadata describes the workspace")
}

#[test]
fn crates_depend_downwards_only() {
    let metadata = workspace();
    let members: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let allowed = allowed();
    let mut forbidden = Vec::new();
    for package in &metadata.packages {
        let permitted = allowed.get(package.name.as_str()).unwrap_or_else(|| {
            panic!(
                "{} is not in the floor plan; add it here and to ARCHITECTURE.md",
                package.name
            )
        });
        for dependency in &package.dependencies {
            let inside = members.contains(dependency.name.as_str());
            let shipped = dependency.kind != DependencyKind::Development;
            if inside && shipped && !permitted.contains(&dependency.name.as_str()) {
                forbidden.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    assert!(forbidden.is_empty(), "forbidden edges: {forbidden:?}");
}

#[test]
fn every_crate_says_what_it_is_and_where_it_belongs() {
    for package in workspace().packages {
        let name = &package.name;
        assert!(package.description.is_some(), "{name}: description");
        assert!(package.repository.is_some(), "{name}: repository");
        assert!(package.license.is_some(), "{name}: license");
        assert!(package.rust_version.is_some(), "{name}: rust-version");
        assert!(!package.keywords.is_empty(), "{name}: keywords");
        assert!(!package.categories.is_empty(), "{name}: categories");
    }
}

/// One misreading of Salla must not be made twice: the simulator and the client
/// share no code, not even in tests.
#[test]
fn the_simulator_stands_apart() {
    let metadata = workspace();
    let simulator = metadata
        .packages
        .iter()
        .find(|p| p.name.as_str() == "salla-simulator")
        .expect("the simulator is a member");
    let ours = ["domain", "importer", "salla-client", "database"];
    assert!(
        simulator
            .dependencies
            .iter()
            .all(|d| !ours.contains(&d.name.as_str()))
    );
    for package in &metadata.packages {
        let names_it = package.dependencies.iter().any(|d| {
            d.name == "salla-simulator" && d.kind != DependencyKind::Development && !d.optional
        });
        assert!(!names_it, "{} ships with the simulator", package.name);
    }
}

/// What a child process inherits is decided there, see `embedded_postgres::children`.
const CHILDREN: &str = "embedded-postgres/src/children.rs";

#[test]
fn child_processes_are_started_in_one_place() {
    let mut starts = Vec::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = vec![crates.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("sources can be read") {
            let path = entry.expect("sources can be read").path();
            let within = path.strip_prefix(&crates).expect("it is below the crates");
            let is_source = within
                .components()
                .nth(1)
                .is_none_or(|c| c.as_os_str() == "src");
            if path.is_dir() && is_source {
                folders.push(path);
            } else if is_source && path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources can be read");
                // Tests begin their own children.
                let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
                if shipped.contains("Command::new(") && !within.ends_with(CHILDREN) {
                    starts.push(within.display().to_string());
                }
            }
        }
    }
    assert!(starts.is_empty(), "use children::command in {starts:?}");
    let there = std::fs::read_to_string(crates.join(CHILDREN)).expect("it is there");
    assert!(there.contains("Command::new("), "it is elsewhere now");
}
