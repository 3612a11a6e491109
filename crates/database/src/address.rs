//! The address of the database, `postgres://user:password@host:port/database?name=value`.
//!
//! A password that is not percent-encoded cuts an address in the wrong places: a piece of it
//! becomes the host, the database or a parameter, which sqlx would log and our own messages
//! would name. So sqlx never sees the text. What can be read in two ways is refused, and no
//! error quotes anything but the names of parameters that PostgreSQL knows.

mod passfile;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr as _;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Parameters that have an effect, as libpq calls them, and the variables of its environment.
const PARAMETERS: [(&str, &str); 14] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
];

/// Parameters of libpq that change nothing here: they set what is so already, or a convenience.
const WITHOUT_EFFECT: [&str; 12] = [
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// Parameters of libpq that are not supported. Ignoring them could be less safe than what the
/// operator wants.
const UNSUPPORTED: [&str; 22] = [
    "channel_binding",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_issuer",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslnegotiation",
    "sslpassword",
];

const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// What an address says; what it leaves out comes from libpq's variables.
#[derive(Clone, Debug, Default)]
pub struct Address(BTreeMap<&'static str, SecretString>);

/// Why an address cannot be used. Any of these may come from a password that was not encoded, so
/// each one says how to encode it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("is not a postgres:// URL")]
    Scheme,
    #[error("cannot be taken apart; {ENCODE}")]
    Unencoded,
    #[error(
        "names no valid host (write an IPv6 address in brackets, a socket's folder as \
         ?host=/folder); {ENCODE}"
    )]
    Host,
    #[error("names several hosts, and only one can be used; {ENCODE}")]
    SeveralHosts,
    #[error("has a port that is not a number from 1 to 65535; {ENCODE}")]
    Port,
    #[error(
        "has an sslmode unknown to PostgreSQL: use one of disable, allow, prefer, require, \
         verify-ca and verify-full; {ENCODE}"
    )]
    SslMode,
    #[error(
        "names another machine without an sslmode: add sslmode=verify-full (and sslrootcert=FILE, \
         unless a public authority vouches for the server), or sslmode=disable if the network is \
         trusted"
    )]
    Unsecured,
    #[error(
        "names another machine, and PGSSLMODE is none of disable, allow, prefer, require, \
         verify-ca and verify-full"
    )]
    SslModeVariable,
    #[error("has options that are not settings (-c%20name%3Dvalue); {ENCODE}")]
    Options,
    #[error("contains {0}, which is not supported; leave it out. In any case, {ENCODE}")]
    Unsupported(&'static str),
    #[error("has a parameter that is unknown to PostgreSQL or has no value; {ENCODE}")]
    Parameter,
}

const ENCODE: &str = "percent-encode user and password (@ is %40, : %3A, / %2F, ? %3F, # %23, % \
     %25); the URL is not shown here, because it may contain part of the password";

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(AddressError::Scheme)?;
        if rest.contains('#') || rest.chars().any(char::is_control) {
            return Err(AddressError::Unencoded);
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, database) = match rest.split_once('/') {
            Some((authority, database)) => (authority, database),
            None => (rest, ""),
        };
        // An @ or a second separator behind the host is what an unencoded password leaves.
        let behind = [database, query.unwrap_or_default()];
        if database.contains('/') || behind.iter().any(|part| part.contains(['@', '?'])) {
            return Err(AddressError::Unencoded);
        }
        let mut address = Self::default();
        address.read_authority(authority)?;
        address.set("dbname", decoded(database)?)?;
        for parameter in query.into_iter().flat_map(|query| query.split('&')) {
            if !parameter.is_empty() {
                address.read_parameter(parameter)?;
            }
        }
        Ok(address)
    }

    fn read_authority(&mut self, authority: &str) -> Result<(), AddressError> {
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        if let Some(credentials) = credentials {
            if credentials.contains('@') {
                return Err(AddressError::Unencoded);
            }
            let (user, password) = match credentials.split_once(':') {
                Some((user, password)) => (user, password),
                None => (credentials, ""),
            };
            self.set("user", decoded(user)?)?;
            self.set("password", decoded(password)?)?;
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(AddressError::Host)?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        if place.contains(',') {
            return Err(AddressError::SeveralHosts);
        }
        let port = match port.strip_prefix(':') {
            Some(port) => port,
            None if port.is_empty() => "",
            None => return Err(AddressError::Host),
        };
        let host = decoded(host)?;
        if place.starts_with('[') && !is_ipv6(&host) {
            return Err(AddressError::Host);
        }
        self.set("host", host)?;
        self.set("port", decoded(port)?)
    }

    fn read_parameter(&mut self, parameter: &str) -> Result<(), AddressError> {
        let (name, value) = parameter.split_once('=').ok_or(AddressError::Parameter)?;
        let known = PARAMETERS.into_iter().find(|(known, _)| *known == name);
        if let Some((name, _)) = known {
            return self.set(name, decoded(value)?);
        }
        if let Some(name) = UNSUPPORTED.into_iter().find(|known| *known == name) {
            return Err(AddressError::Unsupported(name));
        }
        match WITHOUT_EFFECT.contains(&name) {
            true => Ok(()),
            false => Err(AddressError::Parameter),
        }
    }

    /// What is empty counts as not given, as it does for libpq.
    fn set(&mut self, name: &'static str, value: String) -> Result<(), AddressError> {
        if value.is_empty() {
            return Ok(());
        }
        match name {
            "host" if value.contains(',') => return Err(AddressError::SeveralHosts),
            "host" | "hostaddr" if !is_host(&value) => return Err(AddressError::Host),
            "port" if !value.parse().is_ok_and(|port: u16| port > 0) => {
                return Err(AddressError::Port);
            }
            "options" if settings(&value).is_none() => return Err(AddressError::Options),
            "sslmode" if !SSL_MODES.contains(&value.as_str()) => return Err(AddressError::SslMode),
            _ => {}
        }
        self.0.insert(name, value.into());
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }

    /// For people: host, port and database as far as they are given, never user or password.
    pub fn place(&self) -> String {
        let host = self.get("hostaddr").or(self.get("host"));
        let port = self.get("port").map(|port| format!(":{port}"));
        format!(
            "{}{}/{}",
            host.unwrap_or("localhost"),
            port.unwrap_or_default(),
            self.get("dbname").unwrap_or_default()
        )
    }

    /// The same for psql and its like, which read their environment. It may hold a password,
    /// and arguments can be seen by every user of the machine; the environment cannot.
    pub fn libpq_environment(&self) -> Vec<(&'static str, String)> {
        let variables = PARAMETERS.into_iter();
        variables
            .filter_map(|(name, variable)| Some((variable, self.get(name)?.to_owned())))
            .collect()
    }

    /// The address of another machine must say whether the connection is secured: nothing is sent
    /// unencrypted, or to an unverified server, unless the operator chose that.
    pub fn check_security(&self) -> Result<(), AddressError> {
        let is_said = self.get("sslmode").is_some();
        if is_said || is_here(&self.options_without_password()) {
            return Ok(());
        }
        let mode = std::env::var_os("PGSSLMODE").unwrap_or_default();
        match PgSslMode::from_str(&mode.to_string_lossy()) {
            Ok(_) => Ok(()),
            Err(_) if mode.is_empty() => Err(AddressError::Unsecured),
            // sqlx would take it for no word at all.
            Err(_) => Err(AddressError::SslModeVariable),
        }
    }

    fn options_without_password(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass();
        let given = self.0.iter();
        given.fold(options, |options, (name, value)| {
            with(options, name, value.expose_secret())
        })
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        let mut options = self.options_without_password();
        if self.get("password").is_none() && !is_set("PGPASSWORD") {
            let file = self.get("passfile").map(Path::new);
            if let Some(password) = passfile::password(&options, file) {
                options = options.password(password.expose_secret());
            }
        }
        options
    }
}

/// Whether the way to the server does not leave this machine.
fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let is_own = |address: IpAddr| {
        let address = address.to_canonical();
        address.is_loopback() || address.is_unspecified()
    };
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(is_own)
}

fn with(options: PgConnectOptions, name: &str, value: &str) -> PgConnectOptions {
    match name {
        "host" | "hostaddr" if value.starts_with('/') => options.socket(value),
        "host" | "hostaddr" => options.host(value),
        // It has been read as a number before.
        "port" => options.port(value.parse().unwrap_or_default()),
        "dbname" => options.database(value),
        "user" => options.username(value),
        "password" => options.password(value),
        "sslmode" => options.ssl_mode(PgSslMode::from_str(value).unwrap_or_default()),
        "sslrootcert" => options.ssl_root_cert(value),
        "sslcert" => options.ssl_client_cert(value),
        "sslkey" => options.ssl_client_key(value),
        "options" => options.options(settings(value).unwrap_or_default()),
        _ => options,
    }
}

/// Settings as libpq takes them: `-c name=value` or `--name=value`, with blanks in between and
/// a backslash before a blank that is meant.
fn settings(options: &str) -> Option<Vec<(String, String)>> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (other, Some(word)) if !other.is_whitespace() => word.push(other),
            _ => words.push(String::new()),
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let word = if word == "-c" { words.next()? } else { word };
        let setting = word.strip_prefix("--").or(word.strip_prefix("-c"));
        let (name, value) = setting.unwrap_or(&word).split_once('=')?;
        settings.push((name.to_owned(), value.to_owned()));
    }
    Some(settings)
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

fn is_ipv6(host: &str) -> bool {
    let (address, _zone) = host.split_once('%').unwrap_or((host, ""));
    Ipv6Addr::from_str(address).is_ok()
}

fn is_host(host: &str) -> bool {
    let is_of_a_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    host.starts_with('/') || is_ipv6(host) || host.chars().all(is_of_a_name)
}

/// Each % has to begin an escape, or the text was not encoded.
fn decoded(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(AddressError::Unencoded)?;
        bytes.push(hex(digits).ok_or(AddressError::Unencoded)?);
        rest = after;
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(AddressError::Unencoded),
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    match digits {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
