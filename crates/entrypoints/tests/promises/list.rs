//! The list of promises, and that each is kept by tests that exist and run.

use std::path::{Path, PathBuf};

const PAGE: &str = "docs/threat-model.md";
const PROMISES: usize = 16;
/// Written down before its test was there. Who adds one takes it out here.
const AWAITED: &[usize] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A link of the page whose text is the name of a test and whose target its file.
#[derive(Debug)]
struct Named {
    function: String,
    file: PathBuf,
}

impl Named {
    /// Why it keeps nothing.
    fn problem(&self) -> Option<&'static str> {
        let Ok(text) = std::fs::read_to_string(&self.file) else {
            return Some("its file cannot be read");
        };
        let Some((before, _)) = text.split_once(&format!("fn {}(", self.function)) else {
            return Some("its file has no such function");
        };
        // Attributes and comments above it, up to the end of what comes before.
        let above: Vec<&str> = before
            .lines()
            .rev()
            .skip(usize::from(!before.ends_with('\n')))
            .take_while(|line| {
                let line = line.trim();
                line.starts_with("#[") || line.starts_with("//")
            })
            .collect();
        let has = |word: &str| above.iter().any(|line| line.contains(word));
        if !has("test]") && !has("test(") {
            return Some("it is no test");
        }
        has("#[ignore").then_some("it is ignored")
    }
}

/// The tests that a line of the page names.
fn named(line: &str) -> Vec<Named> {
    let links = line.split("[`").skip(1).filter_map(|rest| {
        let (function, rest) = rest.split_once("`](")?;
        let (target, _) = rest.split_once(')')?;
        target.ends_with(".rs").then(|| Named {
            function: function.to_owned(),
            file: root().join("docs").join(target),
        })
    });
    links.collect()
}

fn page() -> String {
    std::fs::read_to_string(root().join(PAGE)).unwrap()
}

#[test]
fn every_promise_is_kept_by_tests() {
    let page = page();
    for number in 1..=PROMISES {
        let beginning = format!("| {number} | ");
        let row = page.lines().find(|line| line.starts_with(&beginning));
        let row = row.unwrap_or_else(|| panic!("{PAGE} has no promise {number}"));
        let is_awaited = AWAITED.contains(&number);
        match named(row).is_empty() {
            true => assert!(is_awaited, "nothing keeps promise {number}"),
            false => assert!(!is_awaited, "{number} has come: take it out of AWAITED"),
        }
    }
}

#[test]
fn every_test_that_is_named_exists_and_runs() {
    let page = page();
    let named: Vec<Named> = page.lines().flat_map(named).collect();
    assert!(named.len() > PROMISES, "{named:#?}");
    let problems: Vec<String> = named
        .iter()
        .filter_map(|test| Some(format!("{test:?}: {}", test.problem()?)))
        .collect();
    assert!(problems.is_empty(), "{PAGE}: {problems:#?}");
}
