//! The environment, and settings that lie in AWS Secrets Manager instead of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::{ExposeSecret as _, SecretString};

/// A secret with settings by their names.
pub const SECRET: &str = "SALLA_SYNC_SECRET";
/// A secret with `username` and `password`, as RDS keeps them.
pub const DATABASE_SECRET: &str = "SALLA_SYNC_DATABASE_SECRET";

/// What was read for this process, once in its life.
static LOADED: OnceLock<Loaded> = OnceLock::new();

/// The database has refused what was read.
static OUTDATED: AtomicBool = AtomicBool::new(false);

const DATABASE_URL: &str = "DATABASE_URL";

#[derive(Debug, Default)]
struct Loaded {
    /// Serve where the environment has nothing.
    given: BTreeMap<String, SecretString>,
    /// Take the place of what the environment has.
    completed: BTreeMap<String, SecretString>,
}

/// The environment of this process, and what secrets that it names have beside it.
pub fn environment(name: &str) -> Option<OsString> {
    let loaded = LOADED.get();
    let of_secrets = |of: fn(&Loaded) -> &BTreeMap<String, SecretString>| {
        Some(of(loaded?).get(name)?.expose_secret().into())
    };
    let of_process = || std::env::var_os(name).filter(|value| !value.is_empty());
    of_secrets(|loaded| &loaded.completed)
        .or_else(of_process)
        .or_else(|| of_secrets(|loaded| &loaded.given))
}

/// Returns when the database no longer accepts the user and password from their secret: the process
/// has to end, so that the next one reads those that have taken their place.
pub async fn outdated() {
    let is_of_secret = |loaded: &Loaded| loaded.completed.contains_key(DATABASE_URL);
    if !LOADED.get().is_some_and(is_of_secret) {
        std::future::pending::<()>().await;
    }
    database::login_refused().await;
    OUTDATED.store(true, Ordering::Relaxed);
}

/// Fails once what was read is outdated.
pub fn check() -> anyhow::Result<()> {
    anyhow::ensure!(
        !OUTDATED.load(Ordering::Relaxed),
        "PostgreSQL no longer accepts the user and password that {DATABASE_SECRET} had when this \
         process started; the next process reads them again"
    );
    Ok(())
}

/// Reads what the environment names. Nothing is asked of AWS where it names nothing.
#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "a build with AWS reads it")]
pub async fn load() -> anyhow::Result<()> {
    use crate::exit::UsageError;
    match [SECRET, DATABASE_SECRET]
        .into_iter()
        .find(|name| environment(name).is_some())
    {
        Some(name) => Err(UsageError::one(format!(
            "{name} is set, but this build of salla-sync does not include AWS; build it with \
             --features aws"
        ))
        .into()),
        None => Ok(()),
    }
}

#[cfg(feature = "aws")]
pub use of_aws::load;

#[cfg(feature = "aws")]
mod of_aws {
    use aws::Aws;
    use aws::secrets::{WRAPPED, read, unwrap};
    use secrecy::SecretString;
    use url::Url;

    use super::{DATABASE_SECRET, DATABASE_URL, LOADED, Loaded, SECRET, environment};
    use crate::exit::UsageError;

    const KEY: &str = "SALLA_SYNC_KEY";

    /// Reads what the environment names. Nothing is asked of AWS where it names nothing.
    pub async fn load() -> anyhow::Result<()> {
        let text = |name: &str| environment(name).and_then(|text| text.into_string().ok());
        let (secret, of_database) = (text(SECRET), text(DATABASE_SECRET));
        let is_wrapped = |key: &str| key.trim().starts_with(WRAPPED);
        let may_be_wrapped = secret.is_some() || text(KEY).is_some_and(|key| is_wrapped(&key));
        if of_database.is_none() && !may_be_wrapped {
            return Ok(());
        }
        let aws = Aws::from_environment().await?;
        let mut loaded = Loaded::default();
        if let Some(id) = &secret {
            loaded.given = read(&aws, id).await?;
            let names: Vec<&str> = loaded.given.keys().map(String::as_str).collect();
            tracing::info!(secret = %id, names = names.join(", "), "settings were read");
        }
        let known = |name: &str| {
            use secrecy::ExposeSecret as _;
            let given = loaded.given.get(name).map(|text| text.expose_secret());
            text(name).or_else(|| given.map(str::to_owned))
        };
        let mut completed = Vec::new();
        if let Some(key) = known(KEY).filter(|key| is_wrapped(key)) {
            completed.push((KEY, unwrap(&aws, key.trim()).await?));
        }
        if let Some(id) = &of_database {
            let keys = read(&aws, id).await?;
            let url = with_keys(known(DATABASE_URL), &keys)
                .map_err(|reason| UsageError::one(format!("{DATABASE_SECRET}: {reason}")))?;
            completed.push((DATABASE_URL, url));
        }
        for (name, text) in completed {
            loaded.completed.insert(name.to_owned(), text);
        }
        // Twice in a process would be the same.
        let _ = LOADED.set(loaded);
        Ok(())
    }

    /// The address with user and password from a secret.
    fn with_keys(
        url: Option<String>,
        keys: &std::collections::BTreeMap<String, SecretString>,
    ) -> Result<SecretString, &'static str> {
        use secrecy::ExposeSecret as _;
        let url = url.ok_or(
            "DATABASE_URL is not set; set the database's address, without user and password",
        )?;
        let key = |name: &str| keys.get(name).map(|text| text.expose_secret());
        let (Some(user), Some(password)) = (key("username"), key("password")) else {
            return Err("the secret has no username and password; use one as RDS creates it");
        };
        let mut url: Url = url.parse().map_err(|_| "DATABASE_URL is not an address")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("DATABASE_URL has a user or password already; leave them out");
        }
        let set = url
            .set_username(user)
            .and_then(|()| url.set_password(Some(password)));
        set.map_err(|()| "DATABASE_URL names no host")?;
        Ok(String::from(url).into())
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeMap;

        use secrecy::ExposeSecret as _;

        use super::*;

        #[test]
        fn an_address_is_completed_by_user_and_password() {
            let keys = |names: &[&str]| {
                let pair = |name: &&str| ((*name).to_owned(), SecretString::from("p@ss/ü"));
                names.iter().map(pair).collect::<BTreeMap<_, _>>()
            };
            let both = keys(&["username", "password"]);
            let at = |url: &str| Some(url.to_owned());
            let url = with_keys(at("postgres://db.example/shop?sslmode=verify-full"), &both);
            let encoded = "p%40ss%2F%C3%BC";
            assert_eq!(
                url.unwrap().expose_secret(),
                format!("postgres://{encoded}:{encoded}@db.example/shop?sslmode=verify-full")
            );
            for (url, keys, part) in [
                (None, both.clone(), "not set"),
                (at("postgres://u@db.example/shop"), both.clone(), "already"),
                (at("shop"), both, "not an address"),
                (
                    at("postgres://db.example/shop"),
                    keys(&["username"]),
                    "no username",
                ),
            ] {
                let reason = with_keys(url, &keys).unwrap_err();
                assert!(reason.contains(part), "{reason}");
                assert!(!reason.contains("p@ss"), "{reason}");
            }
        }
    }
}
