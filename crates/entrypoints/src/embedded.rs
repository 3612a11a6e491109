//! The private PostgreSQL of `demo` and `--embedded`, with its key file.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use embedded_postgres::{Lifetime, Search, Server, Settings, Wanted, find_programs};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::environment;
use crate::secret_files::{self, SecretFileError};

/// How long the demo's server runs after its last user, so that you can look at the data.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Where programs of root's keep their sockets.
const RUN: &str = "/run";

/// The database that is made inside the private server.
const DATABASE: &str = "salla";

/// A running private server; it stays while this lives.
pub struct Embedded {
    server: Server,
}

impl Embedded {
    /// Starts the server below `data_dir`, or attaches to it. Blocks for seconds the
    /// first time.
    pub fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let search = Search::from_lookup(environment);
        let cluster = data_dir.join("postgresql");
        // A directory belongs to the version that made it; a newer one that was
        // installed since must not be picked for it.
        let wanted = match embedded_postgres::made_by(&cluster)? {
            Some(major) => Wanted::Major(major),
            None => Wanted::Any,
        };
        let programs = find_programs(&search, &wanted)?;
        let mut settings = Settings::new(&cluster, programs);
        settings.lifetime = Lifetime::StopWhenIdle(IDLE_TIMEOUT);
        // The second is root's own.
        let of_the_session = environment("XDG_RUNTIME_DIR").map(PathBuf::from);
        settings.runtime_dirs = of_the_session.into_iter().chain([RUN.into()]).collect();
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("creating the folder {}", data_dir.display()))?;
        let server = Server::start(settings).with_context(|| {
            format!("starting the private PostgreSQL in {}", data_dir.display())
        })?;
        Ok(Self { server })
    }

    pub fn maintenance_url(&self) -> String {
        self.server.url("postgres")
    }

    pub fn url(&self) -> String {
        self.server.url(DATABASE)
    }

    pub fn socket_dir(&self) -> &Path {
        self.server.socket_dir()
    }

    pub fn database(&self) -> &'static str {
        DATABASE
    }
}

/// The key that tokens are encrypted with: read from its file, which is made (0600) on first use
/// and must stay private. Only the embedded mode makes keys automatically.
pub fn key(
    data_dir: &Path,
    generate: impl FnOnce() -> anyhow::Result<SecretString>,
) -> anyhow::Result<SecretString> {
    let path = data_dir.join("tokens.key");
    let reading = || format!("reading the key file {}", path.display());
    match secret_files::open_own(&path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text).with_context(reading)?;
            return Ok(text.trim().to_owned().into());
        }
        Err(SecretFileError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(reading),
    }
    let key = generate()?;
    let making = || -> std::io::Result<()> {
        std::fs::create_dir_all(data_dir)?;
        let mut file = secret_files::create_own(&path)?;
        writeln!(file, "{}", key.expose_secret())?;
        file.sync_all()
    };
    making().with_context(|| format!("creating the key file {}", path.display()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = key(folder.path(), || Ok("k1:first".into())).unwrap();
        let second = key(folder.path(), || unreachable!("the key exists")).unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        let file = folder.path().join("tokens.key");
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// A user who may write there could have tokens encrypted with a known key.
    #[test]
    fn a_key_that_somebody_else_could_have_put_there_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (file, elsewhere) = (folder.path().join("tokens.key"), folder.path().join("key"));
        std::fs::write(&elsewhere, "k1:known").unwrap();
        let is_refused = |expected: &str| {
            let error = key(folder.path(), || unreachable!("there is a file")).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains("tokens.key: "), "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("known"), "{text}");
        };
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        is_refused("it is not a regular file");
        std::fs::remove_file(&file).unwrap();
        std::fs::rename(&elsewhere, &file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        is_refused("chmod 600");
    }
}
