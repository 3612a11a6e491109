//! What the server needs to know beside what a worker does.

use salla_client::webhook::WebhookSecret;
use secrecy::SecretString;
use url::Url;
use web::TrustedProxies;

use super::SettingsReader;
use super::address::http_url;
use super::token_files::SECRET;

pub(super) const PUBLIC_URL: &str = "SALLA_SYNC_PUBLIC_URL";
const FORMER_SECRET: &str = "SALLA_WEBHOOK_SECRET_PREVIOUS";
const APP_ID: &str = "SALLA_APP_ID";
const INTROSPECT_URL: &str = "SALLA_INTROSPECT_URL";
const INTROSPECTION: &str = "https://api.salla.dev/exchange-authority/v1/introspect";
const FRAME_ANCESTORS: &str = "SALLA_SYNC_FRAME_ANCESTORS";
const PROXIES: &str = "SALLA_SYNC_TRUSTED_PROXIES";
const DASHBOARD: &str = "https://s.salla.sa";
/// Where Salla sends browsers back to, below the public address.
const CALLBACK: &str = "oauth/callback";

/// Which doors are open.
#[derive(Clone, Debug, Default)]
pub struct WebSettings {
    /// Where browsers reach this server; without it no shop is connected by consent.
    pub public_url: Option<Url>,
    /// The app's webhook secret and the one before; without any no webhook is taken.
    pub webhook_secrets: Vec<WebhookSecret>,
    /// The page inside Salla's dashboard; without it there is none.
    pub embedded: Option<EmbeddedSettings>,
    /// Whose word about the address of a client counts.
    pub proxies: TrustedProxies,
}

/// How a merchant is known who looks at the page inside Salla's dashboard.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// The app's number in the Salla Partners Portal.
    pub app_id: String,
    /// Where Salla says whose a dashboard's token is.
    pub introspect_url: Url,
    /// The origins that may frame the page.
    pub ancestors: Vec<String>,
}

impl WebSettings {
    /// Exactly as the app's registration has to have it.
    pub fn redirect_uri(&self) -> Option<String> {
        let base = self.public_url.as_ref()?;
        Some(format!(
            "{}/{CALLBACK}",
            base.as_str().trim_end_matches('/')
        ))
    }

    /// As browsers name the pages of this server.
    pub fn origin(&self) -> Option<String> {
        let base = self.public_url.as_ref()?;
        Some(base.origin().ascii_serialization())
    }

    pub fn is_https(&self) -> bool {
        let base = self.public_url.as_ref();
        base.is_some_and(|base| base.scheme() == "https")
    }
}

impl SettingsReader<'_> {
    pub fn web(&mut self) -> WebSettings {
        let secrets = [SECRET, FORMER_SECRET].map(|name| self.unquoted(name));
        if secrets[0].is_none() && secrets[1].is_some() {
            self.problem(format!("{FORMER_SECRET} is set but {SECRET} is not"));
        }
        let secrets = secrets.into_iter().flatten().map(SecretString::from);
        WebSettings {
            public_url: self.public_url(),
            webhook_secrets: secrets
                .filter_map(|text| WebhookSecret::new(&text))
                .collect(),
            embedded: self.embedded(),
            proxies: self.proxies(),
        }
    }

    fn proxies(&mut self) -> TrustedProxies {
        let text = self.text(PROXIES).unwrap_or_default();
        TrustedProxies::parse(&text).unwrap_or_else(|word| {
            self.problem(format!(
                "{PROXIES} lists {word:?}, which is no network, such as 10.0.0.0/8 or 2001:db8::/32"
            ));
            TrustedProxies::default()
        })
    }

    fn embedded(&mut self) -> Option<EmbeddedSettings> {
        let introspect_url = self.salla_url(INTROSPECT_URL, INTROSPECTION);
        let ancestors = self.frame_ancestors();
        let app_id = self.unquoted(APP_ID)?;
        if !app_id.bytes().all(|byte| byte.is_ascii_digit()) {
            self.problem(format!(
                "{APP_ID} is not a number; it is part of the app's address in the Salla Partners \
                 Portal"
            ));
            return None;
        }
        let introspect_url = introspect_url?;
        self.must_be_reachable(INTROSPECT_URL, &introspect_url);
        Some(EmbeddedSettings {
            app_id,
            introspect_url,
            ancestors,
        })
    }

    /// Each becomes part of a header, so it has to be an origin and nothing else.
    fn frame_ancestors(&mut self) -> Vec<String> {
        let text = self.text(FRAME_ANCESTORS);
        let text = text.unwrap_or_else(|| DASHBOARD.to_owned());
        let mut ancestors = Vec::new();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let origin = http_url(word).filter(|url| {
                url.path() == "/" && url.query().is_none() && url.fragment().is_none()
            });
            let is_safe =
                |url: &Url| url.scheme() == "https" || salla_client::http::is_loopback(url);
            let origin = origin.filter(is_safe);
            let origin = origin.map(|url| url.origin().ascii_serialization());
            let is_word = |origin: &String| {
                let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:/[]".contains(&byte);
                origin.bytes().all(is_part)
            };
            match origin.filter(is_word) {
                Some(origin) => ancestors.push(origin),
                None => self.problem(format!(
                    "{FRAME_ANCESTORS} lists what is not an https:// origin, such as \
                     {DASHBOARD}"
                )),
            }
        }
        ancestors
    }

    pub(super) fn public_url(&mut self) -> Option<Url> {
        let text = self.text(PUBLIC_URL)?;
        let url = http_url(&text)
            .filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none());
        let problem = match &url {
            None => {
                "is not the address of a host, such as https://sync.example.com, without a path"
            }
            Some(url) if url.scheme() == "http" && !salla_client::http::is_loopback(url) => {
                "is an http:// address of another machine: consents and cookies would be sent \
                 unencrypted; use https://"
            }
            Some(_) => return url,
        };
        self.problem(format!("{PUBLIC_URL} {problem}"));
        None
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read(values: &[(&str, &str)]) -> (WebSettings, Vec<String>) {
        let lookup = |name: &str| {
            let found = values.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let mut reader = SettingsReader::new(&lookup);
        let settings = reader.web();
        (settings, reader.problems())
    }

    #[test]
    fn browsers_come_back_to_one_address() {
        for base in ["https://sync.example.com", "https://sync.example.com/"] {
            let (settings, problems) = read(&[(PUBLIC_URL, base)]);
            assert_eq!(problems, [""; 0]);
            let redirect = settings.redirect_uri().unwrap();
            assert_eq!(redirect, "https://sync.example.com/oauth/callback");
            assert!(settings.is_https());
        }
        let (local, problems) = read(&[(PUBLIC_URL, "http://127.0.0.1:8080")]);
        assert!(problems.is_empty() && !local.is_https());
        for wrong in [
            "sync.example.com",
            "https://x.example/app",
            "http://x.example",
        ] {
            let (_, problems) = read(&[(PUBLIC_URL, wrong)]);
            assert_eq!(problems.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn the_page_inside_the_dashboard_needs_the_number_of_the_app() {
        let (settings, problems) = read(&[]);
        assert!(settings.embedded.is_none() && problems.is_empty());
        let (settings, problems) = read(&[(APP_ID, "1234567890")]);
        let embedded = settings.embedded.unwrap();
        assert_eq!(problems, [""; 0]);
        assert_eq!(embedded.introspect_url.as_str(), INTROSPECTION);
        assert_eq!(embedded.ancestors, [DASHBOARD]);
        let two = "https://s.salla.sa, http://localhost:4000";
        let (settings, _) = read(&[(APP_ID, "1"), (FRAME_ANCESTORS, two)]);
        let embedded = settings.embedded.unwrap();
        assert_eq!(
            embedded.ancestors,
            ["https://s.salla.sa", "http://localhost:4000"]
        );
        for (name, value) in [
            (APP_ID, "my app"),
            (APP_ID, "1\n2"),
            (INTROSPECT_URL, "http://x.example/introspect"),
            (FRAME_ANCESTORS, "*"),
            (FRAME_ANCESTORS, "https://s.salla.sa/path"),
            (FRAME_ANCESTORS, "http://s.salla.sa"),
            (FRAME_ANCESTORS, "https://s.salla.sa;script-src"),
            (FRAME_ANCESTORS, "'none'"),
        ] {
            let (_, problems) = read(&[(name, value)]);
            assert_eq!(problems.len(), 1, "{name}={value}: {problems:?}");
        }
    }

    #[test]
    fn proxies_are_networks() {
        let (settings, problems) = read(&[(PROXIES, "10.0.0.0/8, ::1")]);
        assert_eq!(problems, [""; 0]);
        assert_ne!(settings.proxies, TrustedProxies::default());
        let (_, problems) = read(&[(PROXIES, "10.0.0.0/8, proxy.example")]);
        assert!(problems[0].contains("proxy.example"), "{problems:?}");
    }

    #[test]
    fn two_secrets_count_while_one_replaces_the_other() {
        let (settings, problems) = read(&[(SECRET, "new"), (FORMER_SECRET, "old")]);
        assert_eq!((settings.webhook_secrets.len(), problems.len()), (2, 0));
        let (_, problems) = read(&[(FORMER_SECRET, "old")]);
        assert_eq!(problems.len(), 1);
        let (settings, problems) = read(&[]);
        assert_eq!((settings.webhook_secrets.len(), problems.len()), (0, 0));
    }
}
