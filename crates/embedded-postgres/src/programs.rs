//! Finds PostgreSQL's programs, and finds out what they are and whether they run at all.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::children;
use crate::error::Error;

const OLDEST_MAJOR: u32 = 15;

/// Programs of one PostgreSQL installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The folder with `initdb` and `postgres`.
    pub bin: PathBuf,
    pub major: u32,
    /// As the server prints it: `16.14`, `18beta1`.
    pub version: String,
}

impl Programs {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// Where to look, beside the usual places of packages and Homebrew.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// If given, nothing else is considered.
    pub pg_bin: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// Folders where `get-postgres.sh` keeps its `postgresql-<major>`.
    pub cache_dirs: Vec<PathBuf>,
}

impl Search {
    /// Gets `PG_BIN`, `PATH`, `XDG_CACHE_HOME` and `HOME` from the caller, so that the same names
    /// and folders count here and in `get-postgres.sh`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let given = |name| lookup(name).filter(|value| !value.is_empty());
        let user_cache = given("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| given("HOME").map(|home| Path::new(&home).join(".cache")));
        Self {
            pg_bin: given("PG_BIN").map(PathBuf::from),
            path: given("PATH"),
            cache_dirs: user_cache
                .into_iter()
                .chain([PathBuf::from("/var/cache")])
                .map(|cache| cache.join("salla-sync"))
                .collect(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The newest one.
    #[default]
    Any,
    /// The newest one of this major version, to open what it has made.
    Major(u32),
    /// The one in this folder.
    Bin(PathBuf),
}

/// Finds an installation of PostgreSQL 15 or newer. A folder that was named
/// explicitly must work; elsewhere the newest that works is taken.
pub fn find_programs(search: &Search, wanted: &Wanted) -> Result<Programs, Error> {
    let (explicit, major) = match wanted {
        Wanted::Any => (search.pg_bin.as_ref(), None),
        Wanted::Major(major) => (search.pg_bin.as_ref(), Some(*major)),
        Wanted::Bin(bin) => (Some(bin), None),
    };
    if let Some(bin) = explicit {
        return inspect(bin)
            .and_then(|programs| accept(programs, major))
            .map_err(|reason| Error::UnusablePrograms {
                bin: bin.clone(),
                reason,
            });
    }
    newest(search, major).ok_or_else(|| Error::NotFound {
        wanted: match major {
            Some(major) => format!("version {major}"),
            None => format!("version {OLDEST_MAJOR} or newer"),
        },
        looked_in: "PATH, /usr/lib/postgresql, Homebrew, Postgres.app and the download cache"
            .to_owned(),
    })
}

fn newest(search: &Search, major: Option<u32>) -> Option<Programs> {
    let mut seen = BTreeSet::new();
    let mut best: Option<Programs> = None;
    for folder in folders(search) {
        // Also follows a link in PATH to the installation that it stands for.
        let initdb = folder.join("initdb").canonicalize();
        let Some(bin) = initdb.ok().and_then(|path| Some(path.parent()?.to_owned())) else {
            continue;
        };
        if !seen.insert(bin.clone()) {
            continue;
        }
        match inspect(&bin).and_then(|programs| accept(programs, major)) {
            Ok(found) => {
                if best.as_ref().is_none_or(|best| age(best) < age(&found)) {
                    best = Some(found);
                }
            }
            Err(reason) => tracing::debug!(bin = %bin.display(), reason, "PostgreSQL passed over"),
        }
    }
    best
}

/// In the order of preference among equal versions.
fn folders(search: &Search) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = search
        .path
        .as_deref()
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    let mut each_in = |parent: &Path, prefix: &str, bin: &str| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join(bin))
            .collect();
        found.sort();
        folders.append(&mut found);
    };
    each_in(Path::new("/usr/lib/postgresql"), "", "bin");
    each_in(Path::new("/usr"), "pgsql-", "bin");
    each_in(Path::new("/opt/homebrew/opt"), "postgresql@", "bin");
    each_in(Path::new("/usr/local/opt"), "postgresql@", "bin");
    let postgres_app = Path::new("/Applications/Postgres.app/Contents/Versions");
    each_in(postgres_app, "", "bin");
    for cache in &search.cache_dirs {
        each_in(cache, "postgresql-", "bin");
    }
    folders
}

fn accept(programs: Programs, major: Option<u32>) -> Result<Programs, String> {
    let fits = major.is_none_or(|major| programs.major == major);
    match fits && programs.major >= OLDEST_MAJOR {
        true => Ok(programs),
        false => Err(format!(
            "it is version {}, wanted was {}",
            programs.version,
            major.map_or(format!("{OLDEST_MAJOR} or newer"), |major| major
                .to_string())
        )),
    }
}

fn age(programs: &Programs) -> (u32, u32) {
    let minor = programs.version.split_once('.').map(|(_, minor)| minor);
    let minor = minor.and_then(|minor| minor.parse().ok()).unwrap_or(0);
    (programs.major, minor)
}

/// Runs both programs: a file of the right name may be a shim that fails, or a
/// server whose libraries are missing.
fn inspect(bin: &Path) -> Result<Programs, String> {
    let bin = std::path::absolute(bin).unwrap_or_else(|_| bin.to_owned());
    ask_version(&bin.join("initdb"))?;
    let version = ask_version(&bin.join("postgres"))?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    let major = digits
        .parse()
        .map_err(|_| format!("postgres calls itself version {version:?}"))?;
    Ok(Programs {
        bin,
        major,
        version,
    })
}

fn ask_version(program: &Path) -> Result<String, String> {
    let answer = children::command(program, &[])
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} did not start ({error})", program.display()))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    parse_version(&text)
        .filter(|_| answer.status.success())
        .map(str::to_owned)
        .ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&answer.stderr);
            format!(
                "{} --version said {:?}",
                program.display(),
                complaint.trim()
            )
        })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is version `15.18`.
fn parse_version(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("(PostgreSQL)")?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        for (printed, expected) in [
            ("postgres (PostgreSQL) 16.14\n", Some("16.14")),
            (
                "initdb (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some("15.18"),
            ),
            ("postgres (PostgreSQL) 18beta1", Some("18beta1")),
            ("some shim", None),
        ] {
            assert_eq!(parse_version(printed), expected, "{printed}");
        }
    }
}
