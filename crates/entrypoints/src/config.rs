//! Settings from the environment, read in one place. What is missing or wrong is
//! reported together, each with its fix.

mod address;
mod email;
mod queue;
mod retention;
mod service;
mod token;
mod token_files;
mod web;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use database::Address;
use importer::ports::connections::Tokens;
use notifiers::{EmailSettings, Secret};
use salla_client::oauth::AppCredentials;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::cli::{DatabaseArgs, TokenArgs};
use crate::exit::UsageError;

pub use crate::secrets::environment;
pub use address::api_path_hint;
use address::http_url;
pub use queue::{QUEUE, QueuePlace};
pub use service::key_problem;
use token::Kind;
pub use token_files::Authorization;
pub use web::{EmbeddedSettings, WebSettings};

pub const API_URL: &str = "https://api.salla.dev/admin/v2";
pub const ACCOUNTS_URL: &str = "https://accounts.salla.sa";
pub const EGRESS_GROUP: &str = "default";
/// The group is part of keys in the database, whose indexes take entries of a few hundred
/// bytes.
const EGRESS_GROUP_BYTES: usize = 200;
/// Where a collector takes traces, as it is.
pub const OTLP_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Where a collector takes everything, below a path for each kind.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Where settings come from; a function, so that tests need no environment.
pub type EnvLookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Where Salla is, and which app this is.
#[derive(Clone, Debug)]
pub struct AppSettings {
    pub api_url: Url,
    pub accounts_url: Url,
    /// Names the address that requests to Salla come from. Salla counts requests for
    /// customers by address, so processes that share one have to name the same group, and
    /// those behind different addresses different ones.
    pub egress_group: String,
    pub keys: Option<AppKeys>,
}

#[derive(Clone, Debug)]
pub struct AppKeys {
    pub client_id: String,
    pub client_secret: SecretString,
}

impl AppSettings {
    pub fn credentials(&self) -> Option<AppCredentials> {
        self.keys.as_ref().map(|keys| AppCredentials {
            client_id: keys.client_id.clone(),
            client_secret: keys.client_secret.clone(),
        })
    }
}

/// Where notifications go besides the log and the app.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    pub merchants: Option<WebhookSettings>,
    pub operators: Option<WebhookSettings>,
    pub email: Option<Arc<EmailSettings>>,
}

#[derive(Clone)]
pub struct WebhookSettings {
    pub url: Url,
    pub secret: Secret,
}

/// The address may hold a secret in its path.
impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct SallaSettings {
    pub app: AppSettings,
    /// As the user gives them. A refresh token only with the app's keys, without which it cannot be
    /// used.
    pub tokens: Tokens,
}

#[derive(Clone, Debug)]
pub enum DatabaseSettings {
    Url(SecretString),
    /// A private server below this folder.
    Embedded {
        data_dir: PathBuf,
    },
}

/// Collects every problem instead of stopping at the first.
pub struct SettingsReader<'a> {
    lookup: EnvLookup<'a>,
    problems: Vec<String>,
}

impl<'a> SettingsReader<'a> {
    pub fn new(lookup: EnvLookup<'a>) -> Self {
        Self {
            lookup,
            problems: Vec::new(),
        }
    }

    /// The settings that were read, or every problem that was met. A reading that
    /// gave nothing has reported why.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, UsageError> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(UsageError(self.problems)),
        }
    }

    /// All problems, for callers that continue in spite of them.
    pub fn problems(self) -> Vec<String> {
        self.problems
    }

    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match (self.lookup)(name)?.into_string() {
            // Some editors begin a text with a mark.
            Ok(text) => Some(text.trim_start_matches('\u{feff}').trim().to_owned())
                .filter(|text| !text.is_empty()),
            Err(_) => {
                self.problem(format!("{name} is not UTF-8 text"));
                None
            }
        }
    }

    /// A name or secret that a file of settings may have left in quotes.
    fn unquoted(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        let is_quoted = |quote| text.starts_with(quote) && text.ends_with(quote);
        if is_quoted('"') || is_quoted('\'') {
            self.problem(format!("{name} is in quotes; give the value without them"));
            return None;
        }
        Some(text)
    }

    /// The database: `--embedded`, or `DATABASE_URL`; never a silent fallback.
    pub fn database(&mut self, arguments: &DatabaseArgs) -> Option<DatabaseSettings> {
        if arguments.embedded {
            let data_dir = arguments
                .data_dir
                .clone()
                .or_else(|| self.default_data_dir());
            if data_dir.is_none() {
                self.problem(
                    "HOME is not set; name a folder for the private PostgreSQL: --data-dir DIR",
                );
            }
            return data_dir.map(|data_dir| DatabaseSettings::Embedded { data_dir });
        }
        match self.text("DATABASE_URL") {
            Some(url) => match Address::parse(&url).and_then(|url| url.check_security()) {
                Ok(()) => Some(DatabaseSettings::Url(url.into())),
                Err(error) => {
                    self.problem(format!("DATABASE_URL {error}"));
                    None
                }
            },
            None => {
                self.problem(
                    "DATABASE_URL is not set; point it at a PostgreSQL 15 or newer \
                     (postgres://user:password@host/database), or pass --embedded to use a \
                     private server",
                );
                None
            }
        }
    }

    fn default_data_dir(&mut self) -> Option<PathBuf> {
        let base = match self.text("XDG_DATA_HOME") {
            Some(data) => PathBuf::from(data),
            None => Path::new(&self.text("HOME")?).join(".local/share"),
        };
        Some(base.join("salla-sync"))
    }

    /// Whether any token is given, usable or not.
    pub fn has_tokens(&self, arguments: &TokenArgs) -> bool {
        let mut names = ["SALLA_ACCESS_TOKEN", "SALLA_REFRESH_TOKEN"].into_iter();
        arguments.tokens.is_some() || names.any(|name| (self.lookup)(name).is_some())
    }

    pub fn salla(&mut self, arguments: &TokenArgs) -> Option<SallaSettings> {
        let tokens = self.tokens(arguments);
        self.with_app(tokens)
    }

    fn with_app(&mut self, tokens: Option<Tokens>) -> Option<SallaSettings> {
        let keys = self.app_keys();
        let has_keys = keys.is_some();
        let app = self.app_with(keys);
        let tokens = tokens?;
        if tokens.refresh.is_some() && !has_keys {
            self.problem(
                "a refresh token is given but SALLA_CLIENT_ID and SALLA_CLIENT_SECRET are not; \
                 set both (Salla Partners Portal, your app, App Keys), or give no refresh token",
            );
        }
        Some(SallaSettings { app: app?, tokens })
    }

    pub fn app(&mut self) -> Option<AppSettings> {
        let keys = self.app_keys();
        self.app_with(keys)
    }

    fn app_keys(&mut self) -> Option<AppKeys> {
        let client_id = self.unquoted("SALLA_CLIENT_ID");
        let client_secret = self.unquoted("SALLA_CLIENT_SECRET");
        let (client_id, client_secret) = client_id.zip(client_secret)?;
        Some(AppKeys {
            client_id,
            client_secret: client_secret.into(),
        })
    }

    fn app_with(&mut self, keys: Option<AppKeys>) -> Option<AppSettings> {
        let (api, accounts) = ("SALLA_API_URL", "SALLA_ACCOUNTS_URL");
        let api_url = self.salla_url(api, API_URL);
        let accounts_url = self.salla_url(accounts, ACCOUNTS_URL);
        let egress_group = self.egress_group();
        let (api_url, accounts_url) = (api_url?, accounts_url?);
        self.must_be_reachable(api, &api_url);
        // Only for renewing tokens.
        if keys.is_some() {
            self.must_be_reachable(accounts, &accounts_url);
        }
        Some(AppSettings {
            api_url,
            accounts_url,
            egress_group,
            keys,
        })
    }

    pub fn channels(&mut self) -> Channels {
        Channels {
            merchants: self.webhook("SALLA_SYNC_WEBHOOK_URL", "SALLA_SYNC_WEBHOOK_SECRET"),
            operators: self.webhook(
                "SALLA_SYNC_OPERATOR_WEBHOOK_URL",
                "SALLA_SYNC_OPERATOR_WEBHOOK_SECRET",
            ),
            email: self.email().map(Arc::new),
        }
    }

    /// Where spans are sent, if anywhere: settings that all programs with OpenTelemetry
    /// share, and their meaning.
    pub fn traces_endpoint(&mut self) -> Option<Url> {
        let of_traces = self.text(OTLP_TRACES_ENDPOINT);
        let (name, text) = match of_traces {
            Some(text) => (OTLP_TRACES_ENDPOINT, text),
            None => {
                let base = self.text(OTLP_ENDPOINT)?;
                let text = format!("{}/v1/traces", base.trim_end_matches('/'));
                (OTLP_ENDPOINT, text)
            }
        };
        let url = http_url(&text);
        if url.is_none() {
            self.problem(format!(
                "{name} is not an http(s) URL, such as http://127.0.0.1:4318; leave it unset \
                 to send no traces"
            ));
        }
        if let Some(url) = &url {
            self.must_be_reachable(name, url);
        }
        url
    }

    /// The name under which traces are filed, if it is not to be the program's own.
    pub fn service_name(&mut self) -> Option<String> {
        self.text("OTEL_SERVICE_NAME")
    }

    fn webhook(&mut self, url_name: &str, secret_name: &str) -> Option<WebhookSettings> {
        let Some(url) = self.text(url_name) else {
            if self.text(secret_name).is_some() {
                self.problem(format!("{secret_name} is set but {url_name} is not"));
            }
            return None;
        };
        let url = http_url(&url);
        match &url {
            Some(url) => self.must_be_reachable(url_name, url),
            None => self.problem(format!("{url_name} is not an http(s) URL")),
        }
        let Some(secret) = self.text(secret_name) else {
            self.problem(format!(
                "{url_name} is set but {secret_name} is not; make one with \
                 echo \"whsec_$(openssl rand -base64 32)\" and give it to the receiver too"
            ));
            return None;
        };
        match Secret::parse(&secret.into()) {
            Ok(secret) => url.map(|url| WebhookSettings { url, secret }),
            Err(error) => {
                self.problem(format!("{secret_name} {error}"));
                None
            }
        }
    }

    pub fn egress_group(&mut self) -> String {
        let group = self.text("SALLA_SYNC_EGRESS_GROUP");
        if group
            .as_ref()
            .is_some_and(|group| group.len() > EGRESS_GROUP_BYTES)
        {
            self.problem(format!(
                "SALLA_SYNC_EGRESS_GROUP has more than {EGRESS_GROUP_BYTES} bytes; give the group \
                 a shorter name"
            ));
        }
        group.unwrap_or_else(|| EGRESS_GROUP.to_owned())
    }

    fn tokens(&mut self, arguments: &TokenArgs) -> Option<Tokens> {
        if let Some(path) = &arguments.tokens {
            return self.token_file(path);
        }
        let access = self.text("SALLA_ACCESS_TOKEN");
        if access.is_none() {
            self.problem(
                "SALLA_ACCESS_TOKEN is not set; the README says where to get a token (or pass \
                 --tokens FILE, - for standard input)",
            );
        }
        let tokens = Tokens {
            refresh: self.text("SALLA_REFRESH_TOKEN").map(SecretString::from),
            access: access?.into(),
            expires_at: None,
            scope: None,
        };
        self.checked(tokens, |kind| match kind {
            Kind::Access => "SALLA_ACCESS_TOKEN".to_owned(),
            Kind::Refresh => "SALLA_REFRESH_TOKEN".to_owned(),
        })
    }
}

impl DatabaseSettings {
    /// For people: host and database, never user or password.
    pub fn describe(&self) -> String {
        match self {
            Self::Embedded { data_dir } => {
                format!("a private PostgreSQL in {}", data_dir.display())
            }
            Self::Url(url) => match Address::parse(url.expose_secret()) {
                Ok(address) => format!("PostgreSQL at {}", address.place()),
                Err(_) => "PostgreSQL".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(values: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| {
            values
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        }
    }

    const NO_FILE: TokenArgs = TokenArgs { tokens: None };
    const NOT_EMBEDDED: DatabaseArgs = DatabaseArgs {
        embedded: false,
        data_dir: None,
    };

    #[test]
    fn all_problems_are_reported_together() {
        let environment = with(&[("SALLA_API_URL", "salla"), ("SALLA_REFRESH_TOKEN", "r")]);
        let mut reader = SettingsReader::new(&environment);
        reader.database(&NOT_EMBEDDED);
        reader.salla(&NO_FILE);
        let error = reader.finish::<()>(None).unwrap_err();
        let text = error.to_string();
        for part in ["DATABASE_URL", "SALLA_API_URL", "SALLA_ACCESS_TOKEN"] {
            assert!(text.contains(part), "{part} is missing from: {text}");
        }
        assert_eq!(error.0.len(), 3);
    }

    #[test]
    fn a_refresh_token_wants_the_apps_keys() {
        let environment = with(&[("SALLA_ACCESS_TOKEN", "a"), ("SALLA_REFRESH_TOKEN", "r")]);
        let mut reader = SettingsReader::new(&environment);
        let salla = reader.salla(&NO_FILE).unwrap();
        assert!(salla.app.keys.is_none());
        assert!(reader.finish(Some(())).is_err());
    }

    #[test]
    fn an_access_token_alone_is_enough_for_the_real_salla() {
        let environment = with(&[
            ("SALLA_ACCESS_TOKEN", " a "),
            (
                "DATABASE_URL",
                "postgres://u:secret@db.example/shop?sslmode=verify-full",
            ),
        ]);
        let mut reader = SettingsReader::new(&environment);
        let database = reader.database(&NOT_EMBEDDED).unwrap();
        let salla = reader.salla(&NO_FILE).unwrap();
        reader.finish(Some(())).unwrap();
        assert_eq!(salla.app.api_url.as_str(), API_URL);
        assert_eq!(salla.app.egress_group, "default");
        assert_eq!(salla.tokens.access.expose_secret(), "a");
        assert_eq!(database.describe(), "PostgreSQL at db.example/shop");
        assert!(!format!("{database:?}{salla:?}").contains("secret"));
    }

    #[test]
    fn a_database_on_another_machine_needs_a_word_for_how_it_is_secured() {
        let read = |url| {
            let values = [("DATABASE_URL", url)];
            let environment = with(&values);
            let mut reader = SettingsReader::new(&environment);
            let settings = reader.database(&NOT_EMBEDDED);
            reader.finish(settings).map_err(|error| error.to_string())
        };
        let error = read("postgres://u:secret@db.example/shop").unwrap_err();
        for part in [
            "DATABASE_URL names another machine",
            "sslmode=verify-full",
            "sslmode=disable",
        ] {
            assert!(error.contains(part), "{part} is missing from: {error}");
        }
        assert!(
            !error.contains("secret") && !error.contains("db.example"),
            "{error}"
        );
        assert!(read("postgres://u:secret@db.example/shop?sslmode=disable").is_ok());
        assert!(read("postgres://u:secret@127.0.0.1/shop").is_ok());
    }

    #[test]
    fn a_group_of_any_length_is_refused_before_the_database_refuses_it() {
        let name = "r".repeat(201);
        let variables = [("SALLA_SYNC_EGRESS_GROUP", name.as_str())];
        let environment = with(&variables);
        let mut reader = SettingsReader::new(&environment);
        reader.egress_group();
        let problems = reader.problems();
        assert!(
            problems[0].contains("SALLA_SYNC_EGRESS_GROUP"),
            "{problems:?}"
        );
    }

    #[test]
    fn processes_behind_another_address_name_another_group() {
        let environment = with(&[("SALLA_SYNC_EGRESS_GROUP", " riyadh-2 ")]);
        assert_eq!(SettingsReader::new(&environment).egress_group(), "riyadh-2");
    }

    #[test]
    fn a_webhook_wants_an_address_and_a_secret_and_shows_neither() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let good = [
            ("SALLA_SYNC_WEBHOOK_URL", "https://x.example/path-secret"),
            ("SALLA_SYNC_WEBHOOK_SECRET", secret),
        ];
        let environment = with(&good);
        let mut reader = SettingsReader::new(&environment);
        let channels = reader.channels();
        reader.finish(Some(())).unwrap();
        assert!(channels.merchants.is_some() && channels.operators.is_none());
        let shown = format!("{channels:?}");
        assert!(
            !shown.contains("path-secret") && !shown.contains("MfKQ"),
            "{shown}"
        );

        let environment = with(&[
            ("SALLA_SYNC_WEBHOOK_URL", "https://x.example"),
            ("SALLA_SYNC_OPERATOR_WEBHOOK_URL", "x.example"),
            ("SALLA_SYNC_OPERATOR_WEBHOOK_SECRET", "secret"),
        ]);
        let mut reader = SettingsReader::new(&environment);
        reader.channels();
        let problems = reader.problems();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems.iter().all(|problem| !problem.contains("MfKQ")));

        let alone = [("SALLA_SYNC_WEBHOOK_SECRET", secret)];
        let environment = with(&alone);
        let mut reader = SettingsReader::new(&environment);
        reader.channels();
        assert_eq!(
            reader.problems(),
            ["SALLA_SYNC_WEBHOOK_SECRET is set but SALLA_SYNC_WEBHOOK_URL is not"]
        );
    }

    #[test]
    fn the_address_for_traces_goes_before_the_one_for_everything() {
        let read = |settings: &[(&str, &str)]| {
            let environment = with(settings);
            let mut reader = SettingsReader::new(&environment);
            let endpoint = reader.traces_endpoint().map(String::from);
            (endpoint, reader.problems().len())
        };
        assert_eq!(read(&[]), (None, 0));
        let sent_to = |url: &str| (Some(url.to_owned()), 0);
        let all = (OTLP_ENDPOINT, "http://collector:4318/");
        assert_eq!(read(&[all]), sent_to("http://collector:4318/v1/traces"));
        let traces = (OTLP_TRACES_ENDPOINT, "https://traces.example/spans");
        assert_eq!(
            read(&[all, traces]),
            sent_to("https://traces.example/spans")
        );
        assert_eq!(read(&[(OTLP_ENDPOINT, "collector:4318")]), (None, 1));
    }
}
