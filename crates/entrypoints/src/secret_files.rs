//! Opening files that hold secrets.
//!
//! The program's own files must be private in every way. A file that a user names may be a link, as
//! are secrets that Kubernetes mounts, or a pipe; of these, only what others could have written is
//! refused.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Why a file is not used, and how to make it usable. Nothing of what it holds is said.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not a regular file: put a file there, not a link")]
    NoFile,
    #[error(
        "it belongs to user {owner} and this is user {us}, so another user may have put it there: \
         if you trust its content, chown {us} {path}"
    )]
    Foreign { path: PathBuf, owner: u32, us: u32 },
    #[error("other users can use it (mode {mode:03o}): chmod 600 {path}")]
    Open { path: PathBuf, mode: u32 },
    #[error("all users can write to it (mode {mode:03o}): chmod 600 {path}")]
    Writable { path: PathBuf, mode: u32 },
}

/// Opens one of our own files: not a link, owned by us or root, and closed to all others.
pub fn open_own(path: &Path) -> Result<File, SecretFileError> {
    let file = OpenOptions::new()
        .read(true)
        // Without waiting, because a pipe without a writer would be waited for.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match file {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(SecretFileError::NoFile);
        }
        file => file?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(SecretFileError::NoFile);
    }
    let (owner, us) = (found.uid(), user());
    let path = path.to_owned();
    if owner != us && owner != 0 {
        return Err(SecretFileError::Foreign { path, owner, us });
    }
    match mode(&found) {
        mode if mode & 0o077 != 0 => Err(SecretFileError::Open { path, mode }),
        _ => Ok(file),
    }
}

/// Makes one of our own files. An existing one, even a dangling link, is an error.
pub fn create_own(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Opens a file that a user named.
pub fn open_named(path: &Path) -> Result<File, SecretFileError> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    let mode = mode(&found);
    if found.is_file() && mode & 0o002 != 0 {
        let path = path.to_owned();
        return Err(SecretFileError::Writable { path, mode });
    }
    // What a system has mounted for us is not ours to close.
    if found.is_file() && mode & 0o004 != 0 && found.uid() == user() {
        tracing::warn!(
            file = %path.display(),
            "all users of this machine can read this file, which contains tokens: chmod 600"
        );
    }
    Ok(file)
}

fn mode(found: &Metadata) -> u32 {
    found.mode() & 0o7777
}

fn user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn file(folder: &Path, mode: u32) -> PathBuf {
        let path = folder.join(format!("of-mode-{mode:o}"));
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_file_of_our_own_is_closed_to_all_others() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o400, 0o700] {
            assert!(open_own(&file(folder.path(), mode)).is_ok(), "{mode:o}");
        }
        for mode in [0o644, 0o640, 0o660, 0o604, 0o606, 0o601, 0o620] {
            let path = file(folder.path(), mode);
            let error = open_own(&path).unwrap_err().to_string();
            let advice = format!("chmod 600 {}", path.display());
            assert!(error.contains(&advice), "{mode:o}: {error}");
            assert!(error.contains(&format!("mode {mode:03o}")), "{error}");
        }
    }

    #[test]
    fn a_file_of_our_own_is_no_link_and_no_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(file(folder.path(), 0o600), &link).unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [&link, &pipe, folder.path()] {
            let error = open_own(path).unwrap_err();
            assert!(matches!(error, SecretFileError::NoFile), "{error}");
        }
        let missing = open_own(&folder.path().join("none")).unwrap_err();
        assert!(
            matches!(&missing, SecretFileError::Io(error) if error.kind() == io::ErrorKind::NotFound),
            "{missing}"
        );
    }

    /// Only root can give files away, and only root can open another user's private file.
    #[test]
    fn a_file_of_our_own_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), 0o600);
        if chown(&path, Some(65_534), None).is_ok() {
            let error = open_own(&path).unwrap_err().to_string();
            assert!(error.contains("belongs to user 65534"), "{error}");
            assert!(error.contains("chown"), "{error}");
        } else {
            // Without another user's file at hand, root's are used.
            assert_ne!(user(), 0);
        }
    }

    #[test]
    fn nothing_that_is_there_is_taken_for_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (new, link) = (folder.path().join("new"), folder.path().join("link"));
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        create_own(&new).unwrap();
        assert_eq!(mode(&fs::metadata(&new).unwrap()), 0o600);
        for path in [&new, &link] {
            let error = create_own(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert!(!folder.path().join("elsewhere").exists());
    }

    /// As Kubernetes mounts secrets: a link to a link, readable by all.
    #[test]
    fn a_named_file_may_be_mounted_and_must_not_be_everybodys() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("..2026")).unwrap();
        symlink("..2026", folder.path().join("..data")).unwrap();
        let (target, link) = ("..data/tokens", folder.path().join("tokens"));
        for mode in [0o644, 0o440, 0o444, 0o640, 0o600, 0o664] {
            drop(fs::remove_file(&link));
            fs::rename(file(folder.path(), mode), folder.path().join(target)).unwrap();
            symlink(target, &link).unwrap();
            let mut text = String::new();
            let opened = open_named(&link);
            opened.unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "secret");
        }
        for mode in [0o666, 0o602, 0o777] {
            let path = file(folder.path(), mode);
            let error = open_named(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{mode:o}: {error}");
        }
        assert!(
            open_named(Path::new("/dev/null")).is_ok(),
            "no file, no mode"
        );
    }
}
