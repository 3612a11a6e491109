//! What the server needs to know beside what a worker does.

use salla_client::webhook::WebhookSecret;
use secrecy::SecretString;
use url::Url;

use super::Reader;
use super::address::http_url;
use super::given::SECRET;

const PUBLIC_URL: &str = "SALLA_SYNC_PUBLIC_URL";
const FORMER_SECRET: &str = "SALLA_WEBHOOK_SECRET_PREVIOUS";
/// Where Salla sends browsers back to, below the public address.
const CALLBACK: &str = "oauth/callback";

/// Which doors are open.
#[derive(Clone, Debug, Default)]
pub struct WebSettings {
    /// Where browsers reach this server; without it no shop is connected by consent.
    pub public_url: Option<Url>,
    /// The app's webhook secret and the one before; without any no webhook is taken.
    pub webhook_secrets: Vec<WebhookSecret>,
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

    pub fn is_https(&self) -> bool {
        let base = self.public_url.as_ref();
        base.is_some_and(|base| base.scheme() == "https")
    }
}

impl Reader<'_> {
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
        }
    }

    fn public_url(&mut self) -> Option<Url> {
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
        let mut reader = Reader::new(&lookup);
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
    fn two_secrets_count_while_one_replaces_the_other() {
        let (settings, problems) = read(&[(SECRET, "new"), (FORMER_SECRET, "old")]);
        assert_eq!((settings.webhook_secrets.len(), problems.len()), (2, 0));
        let (_, problems) = read(&[(FORMER_SECRET, "old")]);
        assert_eq!(problems.len(), 1);
        let (settings, problems) = read(&[]);
        assert_eq!((settings.webhook_secrets.len(), problems.len()), (0, 0));
    }
}
