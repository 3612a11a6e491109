//! Holds the floor plan of ARCHITECTURE.md: arrows between crates go down only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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

/// All of `src` of a crate or of all crates.
fn sources(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("sources can be read") {
            let path = entry.expect("sources can be read").path();
            let is_source = path.components().any(|part| part.as_os_str() == "src");
            if path.is_dir() && (is_source || path.join("src").is_dir() || path.ends_with("src")) {
                folders.push(path);
            } else if is_source && path.extension().is_some_and(|kind| kind == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// A source without its tests, which begin their own children and may name what they like.
fn shipped(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("sources can be read");
    let shipped = text.split("\nmod tests {").next().unwrap_or_default();
    shipped.to_owned()
}

/// What a child process inherits is decided there, see `embedded_postgres::children`.
const CHILDREN: &str = "embedded-postgres/src/children.rs";

#[test]
fn child_processes_are_started_in_one_place() {
    let mut starts = Vec::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in sources(&crates) {
        let within = path.strip_prefix(&crates).expect("it is below the crates");
        if shipped(&path).contains("Command::new(") && !within.ends_with(CHILDREN) {
            starts.push(within.display().to_string());
        }
    }
    assert!(starts.is_empty(), "use children::command in {starts:?}");
    let there = std::fs::read_to_string(crates.join(CHILDREN)).expect("it is there");
    assert!(there.contains("Command::new("), "it is elsewhere now");
}

/// Modules of one folder that need each other cannot be understood or moved alone.
#[test]
fn modules_form_no_circles() {
    let mut found = Vec::new();
    for package in workspace().packages {
        let root = package
            .manifest_path
            .parent()
            .expect("a folder")
            .join("src");
        let modules = Modules::read(root.as_std_path());
        let circles = modules.circles();
        found.extend(
            circles
                .iter()
                .map(|circle| format!("{} {circle}", package.name)),
        );
    }
    assert!(found.is_empty(), "circles: {found:#?}");
}

/// The place of a module in its crate; the root is empty.
type ModulePath = Vec<String>;

/// The modules of a crate, with what each of them names.
#[derive(Default)]
struct Modules {
    named: BTreeMap<ModulePath, Vec<ModulePath>>,
    /// Names that a module re-exports.
    passed_on: BTreeMap<ModulePath, Vec<(String, ModulePath)>>,
}

impl Modules {
    fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        let mut files = Vec::new();
        for path in sources(root) {
            let within = path.strip_prefix(root).expect("it is below the root");
            let mut module: ModulePath = within
                .with_extension("")
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            if module[0] == "bin" {
                continue;
            }
            if matches!(
                module.last().map(String::as_str),
                Some("mod" | "lib" | "main")
            ) {
                module.pop();
            }
            modules.named.entry(module.clone()).or_default();
            files.push((module, shipped(&path)));
        }
        for (module, text) in &files {
            let (mut named, mut passed_on) = (Vec::new(), Vec::new());
            for statement in statements(text) {
                let paths = expand(&statement);
                for path in paths {
                    let Some(target) = modules.absolute(module, &path) else {
                        continue;
                    };
                    if statement.starts_with("use ") {
                        let name = path.rsplit("::").next().unwrap_or_default();
                        passed_on.push((name.to_owned(), target.clone()));
                    }
                    named.push(target);
                }
            }
            modules.named.insert(module.clone(), named);
            modules.passed_on.insert(module.clone(), passed_on);
        }
        modules
    }

    /// The place that a path means, as written in `module`; none outside of the crate.
    fn absolute(&self, module: &ModulePath, path: &str) -> Option<ModulePath> {
        let mut segments = path.split("::").peekable();
        let mut place = match *segments.peek()? {
            "crate" => {
                segments.next();
                Vec::new()
            }
            "self" | "super" => module.clone(),
            child => {
                let child = [module.as_slice(), &[child.to_owned()]].concat();
                return self.named.contains_key(&child).then(|| {
                    let rest = segments.skip(1).map(str::to_owned);
                    child.into_iter().chain(rest).collect()
                });
            }
        };
        for segment in segments {
            match segment {
                "self" => {}
                "super" => drop(place.pop()),
                name => place.push(name.to_owned()),
            }
        }
        Some(place)
    }

    /// The module in which the thing at a place is defined.
    fn home(&self, place: &[String]) -> ModulePath {
        let mut module = Vec::new();
        for (depth, segment) in place.iter().enumerate() {
            let child = [module.as_slice(), std::slice::from_ref(segment)].concat();
            if self.named.contains_key(&child) {
                module = child;
                continue;
            }
            let passed_on = self.passed_on.get(&module).into_iter().flatten();
            let mut fitting = passed_on.filter(|(name, target)| {
                name == segment && target.len() > module.len() && target.starts_with(&module)
            });
            return match fitting.next() {
                Some((_, target)) => self.home(&[target, &place[depth + 1..]].concat()),
                None => module,
            };
        }
        module
    }

    fn circles(&self) -> Vec<String> {
        let mut edges: BTreeMap<&[String], BTreeSet<(&str, String)>> = BTreeMap::new();
        for (module, named) in &self.named {
            for target in named.iter().map(|place| self.home(place)) {
                let common = module
                    .iter()
                    .zip(&target)
                    .take_while(|(a, b)| a == b)
                    .count();
                if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                    let siblings = edges.entry(&module[..common]).or_default();
                    siblings.insert((from, to.clone()));
                }
            }
        }
        let mut circles = Vec::new();
        for (parent, edges) in edges {
            let reach = |start: &str| {
                let (mut seen, mut left) = (BTreeSet::new(), vec![start.to_owned()]);
                while let Some(next) = left.pop() {
                    for (_, to) in edges.iter().filter(|(from, _)| *from == next) {
                        if seen.insert(to.clone()) {
                            left.push(to.clone());
                        }
                    }
                }
                seen
            };
            let reached: BTreeMap<&str, _> = edges.iter().map(|(m, _)| (*m, reach(m))).collect();
            let mut circled = BTreeSet::new();
            for (module, reach) in &reached {
                if reach.contains(*module) && !circled.contains(module) {
                    let back = |m: &&&str| reach.contains(**m) && reached[**m].contains(*module);
                    let members: Vec<&str> = reached.keys().filter(back).copied().collect();
                    let place = parent.iter().map(|name| format!("{name}::"));
                    circles.push(format!(
                        "{}{{{}}}",
                        place.collect::<String>(),
                        members.join(", ")
                    ));
                    circled.extend(members);
                }
            }
        }
        circles
    }
}

/// What a source names of its crate: its `use` statements, and paths in the code.
fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let bare = line.trim_start();
        let bare = bare.strip_prefix("pub").map_or(bare, |after| {
            let after = after.trim_start();
            match after.strip_prefix('(') {
                Some(scope) => scope
                    .split_once(')')
                    .map_or("", |(_, after)| after)
                    .trim_start(),
                None => after,
            }
        });
        if !bare.starts_with("use ") {
            rest.push_str(line);
            rest.push('\n');
            continue;
        }
        let mut statement = bare.to_owned();
        while !statement.contains(';') {
            let Some(line) = lines.next() else { break };
            statement.push_str(line.trim());
        }
        found.push(statement.split(';').next().unwrap_or_default().to_owned());
    }
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in rest.split(|c: char| !is_path(c)) {
        if word.starts_with("crate::") || word.starts_with("super::") {
            found.push(word.trim_end_matches(':').to_owned());
        }
    }
    found
}

/// `use a::{b, c::{d, e}}` names `a::b`, `a::c::d` and `a::c::e`.
fn expand(statement: &str) -> Vec<String> {
    let text = statement.strip_prefix("use ").unwrap_or(statement);
    let (mut paths, mut prefixes, mut word) = (Vec::new(), Vec::new(), String::new());
    let finish = |word: &mut String, prefixes: &[String], paths: &mut Vec<String>| {
        let name = word.split(" as ").next().unwrap_or_default().trim();
        if !name.is_empty() {
            paths.push(prefixes.concat() + name);
        }
        word.clear();
    };
    for c in text.chars() {
        match c {
            '{' => prefixes.push(std::mem::take(&mut word).trim().to_owned()),
            ',' => finish(&mut word, &prefixes, &mut paths),
            '}' => {
                finish(&mut word, &prefixes, &mut paths);
                prefixes.pop();
            }
            c => word.push(c),
        }
    }
    finish(&mut word, &prefixes, &mut paths);
    paths
}
