//! A server of the test's own, set as no other test would have it.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use database::{ConnectSettings, Database};
use embedded_postgres::{Durability, Search, Server, Settings, Wanted, find_programs};
use importer::ports::clock::SystemClock;
use tempfile::TempDir;

const DATABASE: &str = "shops";

pub(crate) struct OwnServer {
    pub(crate) server: Server,
    _place: TempDir,
}

impl OwnServer {
    /// With these settings, and an empty database.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        // Root's server runs as another user.
        let passable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path(), passable).unwrap();
        let search = Search::from_lookup(|name| std::env::var_os(name));
        let programs = find_programs(&search, &Wanted::Any).unwrap();
        let extra = settings.iter();
        let server = Server::start(Settings {
            durability: Durability::Throwaway,
            extra: extra
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Settings::new(place.path().join("db"), programs)
        })
        .unwrap();
        let maintenance = connect(&server.url("postgres")).await.unwrap();
        maintenance.create_database(DATABASE).await.unwrap();
        maintenance.close().await;
        Self {
            server,
            _place: place,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(DATABASE)
    }
}

pub(crate) async fn connect(url: &str) -> Result<Database, domain::failure::Failure> {
    let settings = ConnectSettings::new(url.to_owned().into());
    Database::connect(settings, Arc::new(SystemClock::real())).await
}
