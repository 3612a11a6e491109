//! `salla-sync psql`: opens psql on the database, the private one included.

use anyhow::Context as _;
use database::Address;
use secrecy::ExposeSecret as _;

use crate::cli::{DatabaseArgs, PsqlArgs};
use crate::config::{DatabaseSettings, Reader, environment};
use crate::embedded::Embedded;
use crate::exit::Exit;

pub async fn run(arguments: PsqlArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = Reader::new(&environment);
    let settings = reader.database(database);
    let (url, _server) = match reader.finish(settings)? {
        DatabaseSettings::Url(url) => (url.expose_secret().to_owned(), None),
        DatabaseSettings::Embedded { data_dir } => {
            let server = tokio::task::spawn_blocking(move || Embedded::start(&data_dir)).await??;
            (server.url(), Some(server))
        }
    };
    let address = Address::parse(&url).context("the address of the database")?;
    let status = tokio::process::Command::new("psql")
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
