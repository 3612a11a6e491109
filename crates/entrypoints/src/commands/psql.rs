//! `salla-sync psql`: opens psql on the database, the private one included.

use anyhow::Context as _;
use database::Address;
use secrecy::ExposeSecret as _;

use crate::cli::{DatabaseArgs, PsqlArgs};
use crate::config::{DatabaseSettings, SettingsReader, environment};
use crate::embedded::Embedded;
use crate::exit::Exit;

/// What psql and libpq read, and what the pager, the editor and the shell that psql starts
/// need. Nothing else of our environment is given to them.
const VARIABLES: [&str; 22] = [
    "PG*",
    "PSQL*",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TERM",
    "TERMINFO*",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "INPUTRC",
    "PAGER",
    "LESS*",
    "EDITOR",
    "VISUAL",
    "NO_COLOR",
    "KRB5*",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
];

pub async fn run(arguments: PsqlArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let settings = reader.database(database);
    let (url, _server) = match reader.finish(settings)? {
        DatabaseSettings::Url(url) => (url.expose_secret().to_owned(), None),
        DatabaseSettings::Embedded { data_dir } => {
            let server = tokio::task::spawn_blocking(move || Embedded::start(&data_dir)).await??;
            (server.url(), Some(server))
        }
    };
    let address = Address::parse(&url).context("the address of the database")?;
    let psql = embedded_postgres::children::command("psql", &VARIABLES);
    let status = tokio::process::Command::from(psql)
        .envs(address.libpq_environment())
        .args(&arguments.arguments)
        .status()
        .await;
    match status {
        Ok(status) if status.success() => Ok(Exit::Done),
        Ok(_) => Ok(Exit::Failed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => anyhow::bail!(
            "psql is not installed: apt-get install postgresql-client, or brew install libpq"
        ),
        Err(error) => Err(error).map_err(|e| anyhow::anyhow!("starting psql: {e}")),
    }
}
