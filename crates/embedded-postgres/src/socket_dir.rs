//! The folder of the socket, which is the server's only door.
//!
//! The server trusts whoever reaches the socket; that is safe only because the
//! folder around it can be entered by nobody but its owner (and root). So the
//! folder is looked at before every start and every attach.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::error::Error;
use crate::owner::Owner;
use crate::places::Places;

/// Makes the folder if there is none, and refuses one that somebody else made
/// in the shared temporary folder to listen to our clients.
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

/// After the server has ended. An orderly end leaves the folder empty, a crash
/// does not. What cannot be removed is in nobody's way: the next start of the
/// same cluster uses it again.
pub(crate) fn remove(places: &Places) {
    for file in [places.socket(), places.socket_lock()] {
        let _ = fs::remove_file(file);
    }
    let _ = fs::remove_dir(&places.socket_dir);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Owner {
        Owner::ourselves()
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
