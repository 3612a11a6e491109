//! The data directory: made once, then only checked.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;

use crate::account::Account;
use crate::error::Error;
use crate::log::Log;
use crate::owner::Owner;
use crate::paths::ClusterPaths;
use crate::programs::Programs;
use crate::settings::{Durability, Settings};

/// The major version of PostgreSQL that made this data directory; `None` if it does not exist or is
/// empty. Call it before [`find_programs`](crate::find_programs), to open an old database with the
/// programs that it needs.
pub fn made_by(data_dir: &Path) -> Result<Option<u32>, Error> {
    let no_database = || Error::NotADataDirectory {
        data_dir: data_dir.to_owned(),
    };
    match fs::read_to_string(data_dir.join("PG_VERSION")) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| no_database()),
        Err(error) if error.kind() == ErrorKind::NotFound => match is_empty(data_dir)? {
            true => Ok(None),
            false => Err(no_database()),
        },
        Err(error) => Err(Error::io("reading the version of", data_dir)(error)),
    }
}

/// Refuses what PostgreSQL would refuse with a riddle in its log: the data of
/// another user or of another major version.
pub(crate) fn check(paths: &ClusterPaths, programs: &Programs) -> Result<(), Error> {
    if paths.data_dir.exists() {
        Owner::of(&paths.data_dir)?.must_be_ours(&paths.data_dir)?;
    }
    match made_by(&paths.data_dir)? {
        Some(made_by) if made_by != programs.major => Err(Error::OtherMajor {
            data_dir: paths.data_dir.clone(),
            made_by,
            offered: programs.major,
        }),
        _ => Ok(()),
    }
}

/// Makes the cluster unless there is one; answers under which account it runs.
pub(crate) fn ensure(settings: &Settings, paths: &ClusterPaths) -> Result<Account, Error> {
    if made_by(&paths.data_dir)?.is_some() {
        return Account::of_existing(&settings.programs, paths);
    }
    let account = Account::for_new(&settings.programs, paths)?;
    tracing::info!(
        data_dir = %paths.data_dir.display(),
        version = settings.programs.version,
        "making a new PostgreSQL database cluster"
    );
    remove(&paths.unfinished)?;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&paths.unfinished)
        .map_err(Error::io("creating the folder", &paths.unfinished))?;
    account.give(&paths.unfinished)?;
    initdb(settings, paths, &account)?;
    // Under its final name the cluster is complete: a half-made one, left by a
    // process that was killed, keeps the other name and is made again.
    fs::rename(&paths.unfinished, &paths.data_dir)
        .map_err(Error::io("moving the new cluster to", &paths.data_dir))?;
    if settings.durability == Durability::Durable {
        fs::File::open(&paths.parent)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("writing to disk", &paths.parent))?;
    }
    Ok(account)
}

/// The locale C with UTF-8 exists on every machine and sorts by code point, so
/// a database sorts the same wherever it was made, and no update of the system
/// library silently breaks an index.
fn initdb(settings: &Settings, paths: &ClusterPaths, account: &Account) -> Result<(), Error> {
    let program = settings.programs.program("initdb");
    let mut command = account.command(&program);
    command
        .arg("--pgdata")
        .arg(&paths.unfinished)
        .args(["--username=postgres", "--auth=trust"])
        .args(["--encoding=UTF8", "--locale=C"])
        .stdout(Stdio::null());
    if settings.durability == Durability::Throwaway {
        command.arg("--no-sync");
    }
    let log = Log::open(paths)?;
    let status = command
        .stderr(log.writer()?)
        .status()
        .map_err(Error::io("running", &program))?;
    match status.success() {
        true => Ok(()),
        false => Err(log.error_with_log_tail("initdb", paths)),
    }
}

pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("removing the folder", folder)(error))
        }
        _ => Ok(()),
    }
}

fn is_empty(folder: &Path) -> Result<bool, Error> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Error::io("looking into", folder)(error)),
    }
}
