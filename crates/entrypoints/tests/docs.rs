//! Holds the documentation to what the program is: who reads the runbook at night must
//! find every failure's name in it, and no command that does not exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};
use domain::failure::Failure;
use entrypoints::cli::{Cli, Command};
use serde_json::Value;

const RUNBOOK: &str = "docs/runbook.md";

/// Described before they exist. Remove an entry here when you add what it names.
const COMING_COMMANDS: &[&str] = &[];
const COMING_CODES: &[&str] = &[];
/// Settings that only commands to come will read.
const COMING_SETTINGS: &[&str] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder, by their paths from the root.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root().join(&folder)).expect("the folder can be read");
        for entry in entries {
            let entry = entry.expect("the folder can be read");
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            match entry.path().is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

/// All pages, by their paths from the root.
fn pages() -> Vec<String> {
    let mut pages = files("docs");
    pages.retain(|path| path.ends_with(".md"));
    let top = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ];
    pages.extend(top.map(str::to_owned));
    pages
}

fn headings(page: &str) -> Vec<&str> {
    let mut in_code = false;
    page.lines()
        .filter(|line| {
            in_code ^= line.starts_with("```");
            !in_code && line.starts_with('#')
        })
        .map(|line| line.trim_start_matches('#').trim())
        .collect()
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text: String = heading.to_lowercase().chars().filter(kept).collect();
    text.replace(' ', "-")
}

#[test]
fn every_failure_has_its_section_in_the_runbook() {
    let page = read(RUNBOOK);
    let sections: BTreeSet<&str> = headings(&page)
        .into_iter()
        .filter_map(|heading| heading.strip_prefix('`')?.strip_suffix('`'))
        .collect();
    let codes: BTreeSet<&str> = Failure::codes().collect();
    let missing: Vec<_> = codes.difference(&sections).collect();
    assert!(
        missing.is_empty(),
        "{RUNBOOK} has no section for {missing:?}"
    );
    for section in sections.difference(&codes) {
        let coming = COMING_CODES.contains(section);
        assert!(coming, "{RUNBOOK}: no failure has the code {section}");
    }
    for code in COMING_CODES {
        assert!(
            !codes.contains(code),
            "{code} has come: take it out of COMING_CODES"
        );
    }
}

#[test]
fn every_command_that_is_named_exists() {
    let program = Cli::command();
    let mut unknown = Vec::new();
    let others = files("deploy").into_iter();
    for path in pages().into_iter().chain(others) {
        let text = read(&path);
        let pieces = if path.ends_with(".md") {
            code(&text)
        } else {
            text.lines().collect()
        };
        for words in pieces.into_iter().flat_map(invocations) {
            if !exists(&program, &words) {
                unknown.push(format!("{path}: salla-sync {}", words.join(" ")));
            }
        }
    }
    assert!(unknown.is_empty(), "not commands: {unknown:#?}");
    for name in COMING_COMMANDS {
        let has_come = program.find_subcommand(name).is_some();
        assert!(!has_come, "{name} has come: take it out of COMING_COMMANDS");
    }
}

/// The first two words behind each `salla-sync`, without options.
fn invocations(line: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_name = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let is_command = |word: &&&str| is_name(word) && !word.starts_with('-');
    (0..words.len())
        .filter(|at| matches!(words[*at], "salla-sync" | "/usr/local/bin/salla-sync"))
        .map(|at| {
            let rest = words[at + 1..].iter();
            rest.take_while(is_command).take(2).copied().collect()
        })
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect()
}

fn exists(program: &clap::Command, words: &[&str]) -> bool {
    if COMING_COMMANDS.contains(&words[0]) {
        return true;
    }
    let Some(command) = program.find_subcommand(words[0]) else {
        return false;
    };
    let takes_words = command.get_positionals().next().is_some();
    match words.get(1) {
        Some(word) if !takes_words => command.find_subcommand(word).is_some(),
        _ => true,
    }
}

/// What a page sets as code: lines of blocks, and spans within lines.
fn code(page: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut pieces = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            pieces.push(line);
        } else {
            pieces.extend(line.split('`').skip(1).step_by(2));
        }
    }
    pieces
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let text = read(&page);
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&page).parent().expect("a page has a folder");
            let target = match file {
                "" => PathBuf::from(&page),
                file => folder.join(file),
            };
            assert!(root().join(&target).exists(), "{page}: {link}");
            if !wanted.is_empty() {
                let target = read(&target.to_string_lossy());
                let found = headings(&target).into_iter().any(|h| anchor(h) == wanted);
                assert!(found, "{page}: {link} leads to no heading");
            }
        }
    }
}

/// Comments cite sections of pages, and headings change.
#[test]
fn sections_that_code_cites_exist() {
    let pages: Vec<(String, BTreeSet<String>)> = pages()
        .into_iter()
        .map(|path| {
            let text = read(&path);
            let anchors = headings(&text).into_iter().map(anchor).collect();
            (format!("{path}#"), anchors)
        })
        .collect();
    let mut cited = 0;
    for path in files("crates").into_iter().chain(files("scripts")) {
        if ![".rs", ".toml", ".sh"]
            .iter()
            .any(|end| path.ends_with(end))
        {
            continue;
        }
        let text = read(&path);
        for (page, anchors) in &pages {
            for rest in text.split(page.as_str()).skip(1) {
                let end = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
                let section = rest.split(end).next().unwrap_or_default();
                if !section.is_empty() {
                    assert!(anchors.contains(section), "{path}: {page}{section}");
                    cited += 1;
                }
            }
        }
    }
    assert!(cited > 50, "only {cited} citations were found");
}

/// Alerts have links for the engineer on call.
#[test]
fn links_from_alerts_lead_into_the_runbook() {
    let page = read(RUNBOOK);
    let anchors: BTreeSet<String> = headings(&page).into_iter().map(anchor).collect();
    for path in files("deploy") {
        let text = read(&path);
        for link in text.split("runbook.md#").skip(1) {
            let end = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
            let link = link.split(end).next().unwrap_or_default();
            assert!(
                anchors.contains(link),
                "{path}: {RUNBOOK}#{link} does not exist"
            );
        }
    }
}

#[test]
fn every_setting_is_in_the_table() {
    let page = read("docs/deploy.md");
    let table: BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(settings)
        .collect();
    let sources: Vec<String> = files("crates/entrypoints/src")
        .iter()
        .map(|path| read(path))
        .collect();
    let read_by_us: BTreeSet<&str> = sources.iter().flat_map(|text| settings(text)).collect();
    let missing: Vec<_> = read_by_us.difference(&table).collect();
    assert!(
        missing.is_empty(),
        "docs/deploy.md has no row for {missing:?}"
    );
    for name in table.difference(&read_by_us) {
        let coming = COMING_SETTINGS.contains(name);
        assert!(coming, "docs/deploy.md: nothing reads {name}");
    }
}

fn settings(text: &str) -> Vec<&str> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .filter(|word| {
            let has_prefix = |prefix: &str| word.len() > prefix.len() && word.starts_with(prefix);
            has_prefix("SALLA_") || has_prefix("OTEL_") || *word == "DATABASE_URL"
        })
        .collect()
}

/// What is set and nothing reads would be set in vain.
#[test]
fn every_setting_that_is_deployed_is_one_of_the_program() {
    let sources: Vec<String> = files("crates/entrypoints/src")
        .iter()
        .map(|path| read(path))
        .collect();
    let read_by_us: BTreeSet<&str> = sources.iter().flat_map(|text| settings(text)).collect();
    let mut found = 0;
    for path in files("deploy") {
        for name in settings(&read(&path)) {
            assert!(read_by_us.contains(name), "{path}: nothing reads {name}");
            found += 1;
        }
    }
    assert!(found > 20, "only {found} settings were found");
}

#[test]
fn the_manifest_for_kubernetes_starts_the_program_and_probes_what_it_serves() {
    let manifest = read("deploy/kubernetes/worker.yaml");
    let parts: Vec<Value> = manifest
        .split("\n---\n")
        .map(|part| serde_saphyr::from_str(part).expect("it is YAML"))
        .collect();
    let [deployment, policy] = &parts[..] else {
        panic!("there are {} parts", parts.len());
    };
    let spec = &deployment["spec"]["template"]["spec"];
    let container = &spec["containers"][0];
    let arguments = container["args"].as_array().expect("arguments");
    let arguments = arguments
        .iter()
        .map(|argument| argument.as_str().expect("a text"));
    let parsed = Cli::try_parse_from(std::iter::once("salla-sync").chain(arguments));
    let Command::Work(work) = parsed.expect("these are arguments of ours").command else {
        panic!("it starts a worker");
    };
    let served = work.listen.expect("it is observed").port();
    let port = &container["ports"][0];
    assert_eq!(port["containerPort"], served);
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], served.to_string());
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["port"], served);
    let served_by_us = read("crates/web/src/observed.rs");
    for probe in ["livenessProbe", "readinessProbe"] {
        let request = &container[probe]["httpGet"];
        assert_eq!(request["port"], port["name"], "{probe}");
        let path = request["path"].as_str().expect("a path");
        assert!(served_by_us.contains(&format!("\"{path}\"")), "{path}");
    }
    // One name for the pool of nodes, for the budget of its address, and for what is labelled.
    let group = &spec["nodeSelector"]["egress-group"];
    let variables = container["env"].as_array().expect("variables");
    let named = variables
        .iter()
        .find(|variable| variable["name"] == "SALLA_SYNC_EGRESS_GROUP");
    assert_eq!(named.expect("the group is set")["value"], *group);
    let selected = &deployment["spec"]["selector"]["matchLabels"];
    assert_eq!(selected["egress-group"], *group);
    assert_eq!(
        deployment["spec"]["template"]["metadata"]["labels"],
        *selected
    );
    assert_eq!(
        policy["spec"]["podSelector"]["matchLabels"]["app"],
        selected["app"]
    );
}

#[test]
fn the_container_is_built_with_the_pinned_toolchain() {
    let toolchain = read("rust-toolchain.toml");
    let (_, rest) = toolchain
        .split_once("channel = \"")
        .expect("a channel is pinned");
    let (channel, _) = rest.split_once('"').expect("a channel is pinned");
    let container = read("deploy/Containerfile");
    for line in [
        format!("FROM docker.io/library/rust:{channel}-bookworm AS builder"),
        format!("ENV RUSTUP_TOOLCHAIN={channel}"),
    ] {
        assert!(container.lines().any(|found| found == line), "{line}");
    }
}

/// Docker reads one, Podman the other.
#[test]
fn both_lists_of_what_the_container_needs_are_the_same() {
    let patterns = |path| -> Vec<String> {
        let text = read(path);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(patterns(".containerignore"), patterns(".dockerignore"));
}
