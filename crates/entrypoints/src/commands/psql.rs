//! `salla-sync psql`: opens psql on the database, the private one included.

use anyhow::Context as _;
use percent_encoding::percent_decode_str;
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
    let status = tokio::process::Command::new("psql")
        .envs(libpq_environment(&url)?)
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

/// The URL as libpq's environment variables. It may hold a password, and arguments
/// can be seen by every user of the machine; the environment cannot.
fn libpq_environment(url: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let url = url::Url::parse(url).context("DATABASE_URL")?;
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8_lossy().into_owned());
    // An address of IPv6 stands in brackets, and a socket's path is encoded.
    let host = url.host_str().map(|host| host.trim_matches(['[', ']']));
    let mut variables = vec![
        ("PGHOST", host.and_then(decoded)),
        ("PGPORT", url.port().map(|port| port.to_string())),
        ("PGUSER", decoded(url.username())),
        ("PGPASSWORD", url.password().and_then(decoded)),
        ("PGDATABASE", decoded(url.path().trim_start_matches('/'))),
    ];
    for (name, value) in url.query_pairs() {
        let variable = match name.as_ref() {
            "host" => "PGHOST",
            "port" => "PGPORT",
            "user" => "PGUSER",
            "password" => "PGPASSWORD",
            "dbname" => "PGDATABASE",
            "sslmode" => "PGSSLMODE",
            "sslrootcert" => "PGSSLROOTCERT",
            "sslcert" => "PGSSLCERT",
            "sslkey" => "PGSSLKEY",
            "options" => "PGOPTIONS",
            "application_name" => "PGAPPNAME",
            "connect_timeout" => "PGCONNECT_TIMEOUT",
            _ => continue,
        };
        variables.push((variable, Some(value.into_owned())));
    }
    let given = variables.into_iter();
    Ok(given
        .filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_url_becomes_libpq_s_variables() {
        let url = "postgres://u%40x:p+w@db.example:5433/shop?sslmode=verify-full";
        let variables: HashMap<_, _> = libpq_environment(url).unwrap().into_iter().collect();
        assert_eq!(variables["PGUSER"], "u@x");
        assert_eq!(variables["PGPASSWORD"], "p+w");
        assert_eq!(variables["PGHOST"], "db.example");
        assert_eq!(variables["PGPORT"], "5433");
        assert_eq!(variables["PGDATABASE"], "shop");
        assert_eq!(variables["PGSSLMODE"], "verify-full");
        let url = "postgres://a%26b:p&w%26@[::1]/x&y?sslcert=/c.pem&sslkey=/k.pem";
        let variables: HashMap<_, _> = libpq_environment(url).unwrap().into_iter().collect();
        assert_eq!(variables["PGUSER"], "a&b");
        assert_eq!(variables["PGPASSWORD"], "p&w&");
        assert_eq!(variables["PGHOST"], "::1");
        assert_eq!(variables["PGDATABASE"], "x&y");
        assert_eq!(variables["PGSSLCERT"], "/c.pem");
        assert_eq!(variables["PGSSLKEY"], "/k.pem");
        let url = "postgres://u@%2Fvar%2Frun%2Fpostgresql/shop";
        let variables: HashMap<_, _> = libpq_environment(url).unwrap().into_iter().collect();
        assert_eq!(variables["PGHOST"], "/var/run/postgresql");
        let socket = "postgres://postgres@localhost:5432/salla?host=/tmp/pg-1";
        let variables: HashMap<_, _> = libpq_environment(socket).unwrap().into_iter().collect();
        assert_eq!(variables["PGHOST"], "/tmp/pg-1");
        assert!(!variables.contains_key("PGPASSWORD"));
    }
}
