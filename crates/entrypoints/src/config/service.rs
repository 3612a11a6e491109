//! What services need beside what imports need.

use std::fmt::Display;

use database::Keyring;
use secrecy::SecretString;

use super::SettingsReader;
use crate::cli::parse_period;

/// `work` and `serve` read it with their flags.
const KEEP_FRESH: &str = "SALLA_SYNC_KEEP_FRESH";
const KEY: &str = "SALLA_SYNC_KEY";

/// What is wrong with the key, as a problem of the settings.
pub fn key_problem(reason: &dyn Display) -> String {
    format!("{KEY}: {reason}")
}

impl SettingsReader<'_> {
    /// The key that tokens are encrypted with at rest; also one that is malformed, which is not
    /// missing.
    pub fn encryption_key(&mut self) -> Option<SecretString> {
        let key = self.text(KEY).map(SecretString::from)?;
        if let Err(error) = Keyring::parse(&key) {
            self.problem(key_problem(&error));
        }
        Some(key)
    }

    pub fn key_is_missing(&mut self) {
        self.problem(
            "SALLA_SYNC_KEY is not set, but tokens must be stored encrypted; make one with echo \
             \"k1:$(openssl rand -base64 32)\", store it safely, and set it",
        );
    }

    /// For a worker: one of them alone serves no better than none.
    pub fn app_keys_are_missing(&mut self) {
        self.problem(
            "SALLA_CLIENT_ID and SALLA_CLIENT_SECRET are not both set, but without them a worker \
             cannot refresh the shops' tokens; set both (Salla Partners Portal, your app, App \
             Keys)",
        );
    }

    /// Reads what workers and the server read beside what imports read, so that what is set and
    /// wrong is found before they start. What is not set is missing only where it is needed.
    pub fn check_service(&mut self) {
        self.channels();
        self.retention();
        self.web();
        if let Some(Err(problem)) = self.text(KEEP_FRESH).map(|text| parse_period(&text)) {
            self.problem(format!("{KEEP_FRESH}: {problem}"));
        }
        let keys = ["SALLA_CLIENT_ID", "SALLA_CLIENT_SECRET"];
        let [id, secret] = keys.map(|name| (self.lookup)(name).is_some());
        if id != secret {
            self.app_keys_are_missing();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn problems(name: &str, value: &str) -> Vec<String> {
        let lookup = |asked: &str| (asked == name).then(|| OsString::from(value));
        let mut reader = SettingsReader::new(&lookup);
        reader.encryption_key();
        reader.check_service();
        reader.problems()
    }

    #[test]
    fn what_is_set_and_would_stop_a_service_is_a_problem() {
        for (name, value) in [
            ("SALLA_SYNC_WEBHOOK_URL", "https://x.example"),
            ("SALLA_SYNC_OPERATOR_WEBHOOK_SECRET", "secret"),
            ("SALLA_SYNC_SMTP_URL", "mail.example.com"),
            ("SALLA_SYNC_EMAIL_FROM", "sync@example.com"),
            ("SALLA_SYNC_RETENTION", "soon"),
            ("SALLA_SYNC_PUBLIC_URL", "https://x.example/app"),
            ("SALLA_APP_ID", "my app"),
            ("SALLA_SYNC_TRUSTED_PROXIES", "proxy.example"),
            ("SALLA_SYNC_KEEP_FRESH", "often"),
            ("SALLA_CLIENT_ID", "alone"),
            ("SALLA_SYNC_KEY", "k1:short"),
        ] {
            let found = problems(name, value);
            assert!(!found.is_empty(), "{name}={value}");
            let is_named = found.iter().any(|problem| problem.contains(name));
            assert!(is_named, "{name}: {found:?}");
        }
        assert_eq!(problems("SALLA_SYNC_KEEP_FRESH", "1h"), [""; 0]);
        assert_eq!(problems("NOTHING_OF_OURS", "1"), [""; 0]);
    }

    #[test]
    fn a_malformed_key_is_not_called_missing() {
        let lookup = |asked: &str| (asked == KEY).then(|| OsString::from("k1:short"));
        let mut reader = SettingsReader::new(&lookup);
        assert!(reader.encryption_key().is_some());
        assert_eq!(reader.problems().len(), 1);
    }
}
