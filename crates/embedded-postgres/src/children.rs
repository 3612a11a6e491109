//! What child processes are given of the environment: what is on a list, and nothing else.
//!
//! The environment of this process holds secrets. A child that inherits them shows them to
//! every process of its account, for as long as it lives.

use std::ffi::OsStr;
use std::process::Command;

/// What any program may need to find its libraries, its language and its time zone. A star
/// stands for any ending.
const FOR_ALL: [&str; 7] = [
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_*",
];

/// A command for `program` that inherits the variables that every program may need, and those
/// in `also`. All child processes are started through it.
pub fn command(program: impl AsRef<OsStr>, also: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    let given = std::env::vars_os().filter(|(name, _)| {
        let mut patterns = FOR_ALL.iter().chain(also);
        patterns.any(|pattern| fits(name, pattern))
    });
    command.envs(given);
    command
}

fn fits(name: &OsStr, pattern: &str) -> bool {
    let name = name.as_encoded_bytes();
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_as_a_whole_or_by_its_beginning() {
        for (name, pattern, expected) in [
            ("PATH", "PATH", true),
            ("PATH_OF_SECRETS", "PATH", false),
            ("XPATH", "PATH", false),
            ("LC_ALL", "LC_*", true),
            ("LC", "LC_*", false),
            ("PGPASSFILE", "PG*", true),
            ("DATABASE_URL", "PG*", false),
            ("path", "PATH", false),
        ] {
            assert_eq!(
                fits(OsStr::new(name), pattern),
                expected,
                "{name} {pattern}"
            );
        }
    }

    #[test]
    fn a_command_has_what_is_listed_and_nothing_else() {
        // Cargo gives tests many variables, among them this one.
        let listed = command("true", &["CARGO_MANIFEST_DIR"]);
        let names: Vec<_> = listed.get_envs().map(|(name, _)| name).collect();
        assert!(names.contains(&OsStr::new("CARGO_MANIFEST_DIR")));
        assert!(names.contains(&OsStr::new("PATH")));
        assert!(!names.contains(&OsStr::new("CARGO_PKG_NAME")));
        let child = command("env", &[]).output().unwrap();
        let shown = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(
            shown.contains("PATH=") && !shown.contains("CARGO"),
            "{shown}"
        );
    }
}
