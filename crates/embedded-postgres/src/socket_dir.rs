//! The folder of the socket, which is the server's only door.
//!
//! The server trusts every client that reaches the socket; that is safe only because the folder
//! around it can be entered only by its owner (and root). So the folder is checked before every
//! start and every attach.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::owner::Owner;
use crate::paths::ClusterPaths;

/// The names of the socket and of its folder take 45 bytes more, and a path may have 103.
const MAX_BYTES: usize = 48;

/// In `/tmp` any user may take the name before us, and keep us from starting.
///
/// Root's server runs as another user, who has to pass through the folder.
pub(crate) fn choose(candidates: &[PathBuf], paths: &ClusterPaths) -> PathBuf {
    let us = Owner::ourselves();
    let serves = |candidate: &&PathBuf| {
        let Ok(found) = fs::metadata(candidate) else {
            return false;
        };
        let is_ours_alone = found.uid() == us.uid && found.mode() & 0o022 == 0;
        let is_passable = us.uid != 0 || found.mode() & 0o001 != 0;
        candidate.is_absolute()
            && candidate.as_os_str().len() <= MAX_BYTES
            && found.is_dir()
            && is_ours_alone
            && is_passable
            && takes(&candidate.join(paths.socket_dir_name()))
    };
    let best = candidates.iter().find(serves);
    best.map_or_else(
        || paths.socket_dir.clone(),
        |folder| folder.join(paths.socket_dir_name()),
    )
}

/// Tried rather than computed, for a whole file system may be closed to writers.
fn takes(folder: &Path) -> bool {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => fs::remove_dir(folder).is_ok(),
        Err(error) => error.kind() == ErrorKind::AlreadyExists,
    }
}

/// Makes the folder if there is none, and refuses one that another user made in the shared
/// temporary folder to intercept our clients.
pub(crate) fn prepare(folder: &Path, owner: Owner) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {
            chown(folder, Some(owner.uid), Some(owner.gid))
                .map_err(Error::io("giving away the folder", folder))?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("creating the folder", folder)(error)),
    }
    let found = fs::symlink_metadata(folder).map_err(Error::io("looking at", folder))?;
    if !found.is_dir() {
        return Err(Error::NotAFolder {
            path: folder.to_owned(),
        });
    }
    Owner::of(folder)?.must_be(owner, folder)?;
    if found.mode() & 0o777 != 0o700 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(Error::io("closing the folder", folder))?;
    }
    Ok(())
}

/// After the server has ended. An orderly end leaves the folder empty, a crash does not. What
/// cannot be removed does no harm: the next start of the same cluster uses it again.
pub(crate) fn remove(paths: &ClusterPaths) {
    for file in [paths.socket(), paths.socket_lock()] {
        let _ = fs::remove_file(file);
    }
    let _ = fs::remove_dir(&paths.socket_dir);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Owner {
        Owner::ourselves()
    }

    #[test]
    fn a_folder_of_ours_comes_before_the_one_for_temporary_files() {
        let place = tempfile::tempdir_in("/tmp").unwrap();
        let paths = ClusterPaths::of(&place.path().join("db")).unwrap();
        let folder = |name: &str, mode| {
            let folder = place.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            folder
        };
        let (good, open) = (folder("good", 0o755), folder("open", 0o777));
        let closed = folder("closed", 0o700);
        let deep = folder(&"x".repeat(60), 0o755);
        let name = paths.socket_dir_name();
        let unfit = [
            PathBuf::from("relative"),
            // Root's, and closed to root.
            PathBuf::from("/proc"),
            place.path().join("none"),
            open,
            deep,
        ];
        assert_eq!(choose(&unfit, &paths), Path::new("/tmp").join(&name));
        let several = [unfit.to_vec(), vec![good.clone()]].concat();
        assert_eq!(choose(&several, &paths), good.join(&name));
        // Root's server has to pass through it as another user.
        let expected = match us().uid {
            0 => Path::new("/tmp").join(&name),
            _ => closed.join(&name),
        };
        assert_eq!(choose(&[closed], &paths), expected);
    }

    #[test]
    fn an_open_folder_of_ours_is_closed() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("socket");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        prepare(&folder, us()).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("socket");
        std::os::unix::fs::symlink(place.path(), &folder).unwrap();
        let refusal = prepare(&folder, us()).unwrap_err();
        assert!(matches!(refusal, Error::NotAFolder { .. }), "{refusal}");
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let other = Owner {
            uid: us().uid + 1,
            ..us()
        };
        let refusal = prepare(place.path(), other).unwrap_err();
        assert!(refusal.to_string().contains("belongs to user"), "{refusal}");
    }
}
