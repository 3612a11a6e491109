//! One throwaway server for all tests of a machine's user.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::owner::Owner;
use crate::programs::{Search, Wanted, find_programs};
use crate::server::{Server, StaleCluster};
use crate::settings::{Durability, Lifetime, Settings};
use crate::watchdog::CleanUp;

/// Longer than it takes to read a failure, fix a line and run the tests again; short enough to be
/// gone after lunch.
const IDLE: Duration = Duration::from_secs(60);

impl Server {
    /// The server that all test processes share, one for each user and version.
    ///
    /// A test runner such as nextest gives every test its own process, so the first one makes and
    /// starts the server below `place` (the folder for temporary files) and the others attach. A
    /// minute after the last process has ended, however it ended, the server is stopped and its
    /// files are removed. Tests make their own databases, which stay until then.
    pub fn shared_for_tests(search: &Search, wanted: &Wanted, place: &Path) -> Result<Self, Error> {
        Self::shared_until_idle(search, wanted, place, IDLE)
    }

    /// The same with another time after which it goes; the starter's counts.
    pub fn shared_until_idle(
        search: &Search,
        wanted: &Wanted,
        place: &Path,
        idle: Duration,
    ) -> Result<Self, Error> {
        let programs = find_programs(search, wanted)?;
        let us = Owner::ourselves();
        let folder = place.join(format!("salla-sync-tests-{}-{}", us.uid, programs.version));
        own_folder(&folder)?;
        let settings = Settings {
            durability: Durability::Throwaway,
            lifetime: Lifetime::StopWhenIdle(idle),
            // Many processes with a small pool each.
            extra: vec![("max_connections".to_owned(), "300".to_owned())],
            ..Settings::new(folder.join("db"), programs)
        };
        // Without fsync a cluster that did not come down in order may be
        // damaged, and making a new one takes a second.
        Self::open(
            &settings,
            StaleCluster::Discard,
            CleanUp::RemoveParentFolder,
        )
    }
}

/// Others may write into the folder for temporary files, so what has our name need not be ours. The
/// folder can be entered by all because root's server runs as another user; the data directory
/// itself is closed.
fn own_folder(folder: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(Error::io("creating the folder", folder))?;
    let found = fs::symlink_metadata(folder).map_err(Error::io("looking at", folder))?;
    if !found.is_dir() {
        return Err(Error::NotAFolder {
            path: folder.to_owned(),
        });
    }
    Owner::of(folder)?.must_be(Owner::ourselves(), folder)
}
