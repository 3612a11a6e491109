//! Holds the floor plan of ARCHITECTURE.md: arrows between crates go down only.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Which crates of the workspace a crate may name in its code.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("domain", [].as_slice()),
        ("importer", &["domain"]),
        ("salla-client", &["domain", "importer"]),
        ("database", &["domain", "importer", "embedded-postgres"]),
        ("notifiers", &["domain", "importer"]),
        ("embedded-postgres", &[]),
        ("salla-simulator", &[]),
        (
            "entrypoints",
            &[
                "domain",
                "importer",
                "salla-client",
                "database",
                "embedded-postgres",
                "notifiers",
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
