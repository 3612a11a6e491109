//! libpq's file of passwords. sqlx reads it as well, but warns with the whole line, password
//! included, where a line is malformed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

/// The password for this server in `file`, or else in the file that libpq would read.
pub(super) fn password(options: &PgConnectOptions, file: Option<&Path>) -> Option<SecretString> {
    let path = file.map(Path::to_owned).or_else(default_file)?;
    let metadata = std::fs::metadata(&path).ok()?;
    if metadata.permissions().mode() & 0o77 != 0 {
        tracing::warn!(
            path = %path.display(),
            "the password file is not used, because other users can read it: chmod 600"
        );
        return None;
    }
    let text = std::fs::read_to_string(&path).ok()?;
    let host = match options.get_socket() {
        Some(socket) => socket.to_string_lossy().into_owned(),
        None => options.get_host().to_owned(),
    };
    let port = options.get_port().to_string();
    let database = options.get_database().unwrap_or(options.get_username());
    find(&text, [&host, &port, database, options.get_username()])
}

fn default_file() -> Option<PathBuf> {
    match std::env::var_os("PGPASSFILE") {
        Some(path) => Some(path.into()),
        None => Some(std::env::home_dir()?.join(".pgpass")),
    }
}

/// The last field of the first line whose other fields fit.
fn find(text: &str, wanted: [&str; 4]) -> Option<SecretString> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.into_iter().find_map(|line| {
        let mut fields = fields(line);
        let password = (fields.len() == 5).then(|| fields.pop())??;
        let fits = |(field, wanted): (&String, &str)| {
            // A socket's server goes by this name in the file.
            let is_local = field == "localhost" && wanted.starts_with('/');
            field == "*" || field == wanted || is_local
        };
        fields.iter().zip(wanted).all(fits).then(|| password.into())
    })
}

/// Fields are separated by colons; a backslash takes its meaning from a colon or a backslash.
/// What follows the fourth colon is the password, further colons included.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let is_separator = character == ':' && fields.len() < 5;
        let character = match character {
            '\\' => characters.next(),
            other => Some(other),
        };
        match fields.last_mut() {
            Some(field) if !is_separator => field.extend(character),
            _ => fields.push(String::new()),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let text = "# a comment\n\
                    malformed:secret\n\
                    db.example:5432:shop:app:a\\:b\\\\c:d\n\
                    localhost:*:*:app:local\n\
                    *:5433:*:*:any\n";
        let found = |wanted| find(text, wanted).map(|found| found.expose_secret().to_owned());
        for (wanted, expected) in [
            (["db.example", "5432", "shop", "app"], Some("a:b\\c:d")),
            (["db.example", "5432", "shop", "bob"], None),
            (["db.example", "5433", "shop", "bob"], Some("any")),
            (["/run/postgresql", "5432", "shop", "app"], Some("local")),
            (["malformed", "5432", "shop", "app"], None),
        ] {
            assert_eq!(found(wanted).as_deref(), expected, "{wanted:?}");
        }
    }
}
