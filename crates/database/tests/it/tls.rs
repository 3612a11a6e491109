//! TLS to PostgreSQL: what is accepted, and what is said when it is not.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use database::{ConnectSettings, Database};
use domain::failure::Failure;
use embedded_postgres::{Durability, Lifetime, Search, Server, Settings, Wanted, find_programs};
use importer::ports::clock::{Clock, SystemClock};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use secrecy::SecretString;
use sqlx::Executor;
use tempfile::TempDir;

#[tokio::test]
async fn certificates_are_verified_as_far_as_the_url_asks() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = start(&folder);
    let place =
        |host: &str, rest: &str| format!("postgres://postgres@{host}:{port}/postgres?{rest}");

    let text = refusal(&place("localhost", "sslmode=require")).await;
    assert!(text.contains("server does not support TLS"), "{text}");

    let ours = Authority::new("ours");
    ours.certify(&server);
    turn_tls_on(&place("127.0.0.1", "sslmode=disable")).await;
    let (ours, other) = (
        ours.write(folder.path(), "ours.pem"),
        Authority::new("other").write(folder.path(), "other.pem"),
    );
    let verify =
        |authority: &Path| format!("sslmode=verify-full&sslrootcert={}", authority.display());

    for rest in ["sslmode=require".to_owned(), verify(&ours)] {
        let database = connect(&place("localhost", &rest)).await.unwrap();
        let encrypted: bool =
            sqlx::query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                .fetch_one(database.pool())
                .await
                .unwrap();
        assert!(encrypted, "{rest}");
        database.close().await;
    }

    let missing = folder.path().join("missing.pem");
    let refusals = [
        ("localhost", verify(&other), "sslrootcert=FILE"),
        (
            "localhost",
            "sslmode=verify-full".to_owned(),
            "sslrootcert=FILE",
        ),
        ("127.0.0.1", verify(&ours), "a name in the certificate"),
        ("localhost", verify(&missing), "no such file"),
    ];
    for (host, rest, expected) in refusals {
        let text = refusal(&place(host, &rest)).await;
        assert!(text.contains(expected), "{host} {rest}: {text}");
    }
    server.stop().unwrap();
}

async fn connect(url: &str) -> Result<Database, Failure> {
    let settings = ConnectSettings::new(SecretString::from(url));
    Database::connect(settings, Arc::new(SystemClock::real())).await
}

async fn refusal(url: &str) -> String {
    connect(url).await.unwrap_err().to_string()
}

/// A server that can be reached over TCP; through its socket PostgreSQL offers no TLS.
fn start(folder: &TempDir) -> (Server, u16) {
    // Root's server runs as another user.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let search = Search::from_lookup(|name| std::env::var_os(name));
    let programs = find_programs(&search, &Wanted::Any).unwrap();
    let settings = Settings {
        durability: Durability::Throwaway,
        lifetime: Lifetime::ShutDownWithUs,
        extra: vec![
            ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), port.to_string()),
        ],
        ..Settings::new(folder.path().join("db"), programs)
    };
    (Server::start(settings).unwrap(), port)
}

async fn turn_tls_on(plain: &str) {
    let clock = SystemClock::real();
    let database = connect(plain).await.unwrap();
    for sql in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        database.pool().execute(sql).await.unwrap();
    }
    // Each session reads the new settings when it gets to it.
    loop {
        let ssl: String = sqlx::query_scalar("SHOW ssl")
            .fetch_one(database.pool())
            .await
            .unwrap();
        if ssl == "on" {
            return database.close().await;
        }
        clock.sleep(Duration::from_millis(20)).await;
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// Puts a certificate for `localhost` where the server looks for its own.
    fn certify(&self, server: &Server) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let owner = std::fs::metadata(server.data_dir()).unwrap();
        for (name, text) in [
            ("server.crt", certificate.pem()),
            ("server.key", key.serialize_pem()),
        ] {
            let path = server.data_dir().join(name);
            std::fs::write(&path, text).unwrap();
            // PostgreSQL refuses a key that others may read.
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }
}
