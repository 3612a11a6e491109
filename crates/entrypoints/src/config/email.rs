//! The mail server that takes notifications for merchants.

use std::io::Read as _;
use std::path::PathBuf;

use notifiers::{EmailSettings, EmailTls, Sender};
use salla_client::http::is_loopback;
use secrecy::SecretString;
use url::Url;

use super::SettingsReader;
use super::address::http_url;
use super::web::PUBLIC_URL;
use crate::secret_files;

const URL: &str = "SALLA_SYNC_SMTP_URL";
const TLS: &str = "SALLA_SYNC_SMTP_TLS";
const USER: &str = "SALLA_SYNC_SMTP_USER";
const PASSWORD: &str = "SALLA_SYNC_SMTP_PASSWORD";
const PASSWORD_FILE: &str = "SALLA_SYNC_SMTP_PASSWORD_FILE";
const CA_FILE: &str = "SALLA_SYNC_SMTP_CA_FILE";
const FROM: &str = "SALLA_SYNC_EMAIL_FROM";
const SIGN_IN: &str = "SALLA_SYNC_SIGN_IN_URL";
/// Of no use without a server.
const OTHERS: [&str; 6] = [TLS, USER, PASSWORD, PASSWORD_FILE, CA_FILE, FROM];

/// No password and no file of authorities comes near this.
const MAX_BYTES: u64 = 1 << 20;

/// Where the server is, as its address says.
struct Server {
    host: String,
    port: u16,
    tls: EmailTls,
    is_loopback: bool,
}

impl SettingsReader<'_> {
    /// E-mail is sent where a server is named.
    pub(super) fn email(&mut self) -> Option<EmailSettings> {
        let Some(text) = self.text(URL) else {
            for name in OTHERS {
                if self.text(name).is_some() {
                    self.problem(format!("{name} is set but {URL} is not"));
                }
            }
            return None;
        };
        let server = self.server(&text);
        let credentials = self.credentials(server.as_ref());
        let authorities = self.authorities();
        let from = self.sender();
        let sign_in = self.sign_in();
        let (server, from, sign_in) = (server?, from?, sign_in?);
        Some(EmailSettings {
            host: server.host,
            port: server.port,
            tls: server.tls,
            credentials: credentials?,
            authorities: authorities?,
            from,
            sign_in,
        })
    }

    fn server(&mut self, text: &str) -> Option<Server> {
        let url = Url::parse(text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "smtp" | "smtps") && url.has_host());
        let Some(url) = url else {
            self.problem(format!(
                "{URL} is not the address of a mail server, such as smtp://smtp.example.com:587 \
                 (STARTTLS) or smtps://smtp.example.com:465 (TLS from the start)"
            ));
            return None;
        };
        let has_more = !matches!(url.path(), "" | "/") || url.query().is_some();
        if has_more || url.fragment().is_some() {
            self.problem(format!(
                "{URL} contains more than a scheme, a host and a port"
            ));
            return None;
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.problem(format!(
                "{URL} contains a user or a password; give them as {USER} and {PASSWORD_FILE}"
            ));
            return None;
        }
        // An address in brackets is one without them.
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = is_this_machine(host);
        let (default_port, default_tls) = match (url.scheme(), is_loopback) {
            ("smtps", _) => (465, EmailTls::Implicit),
            (_, true) => (587, EmailTls::None),
            (_, false) => (587, EmailTls::StartTls),
        };
        Some(Server {
            host: host.to_owned(),
            port: url.port().unwrap_or(default_port),
            tls: self.tls(url.scheme() == "smtps")?.unwrap_or(default_tls),
            is_loopback,
        })
    }

    /// `None`: a problem; `Some(None)`: as usual.
    fn tls(&mut self, is_implicit: bool) -> Option<Option<EmailTls>> {
        let Some(word) = self.text(TLS) else {
            return Some(None);
        };
        let tls = match word.as_str() {
            "implicit" => EmailTls::Implicit,
            "starttls" => EmailTls::StartTls,
            "none" => EmailTls::None,
            _ => {
                self.problem(format!("{TLS} is none of implicit, starttls and none"));
                return None;
            }
        };
        if is_implicit && tls != EmailTls::Implicit {
            self.problem(format!(
                "{TLS} is {word} but {URL} begins with smtps://, which is TLS from the start; \
                 use smtp:// there"
            ));
            return None;
        }
        Some(Some(tls))
    }

    /// `None`: a problem; `Some(None)`: the server wants none.
    fn credentials(&mut self, server: Option<&Server>) -> Option<Option<(String, SecretString)>> {
        let user = self.unquoted(USER);
        let password = self.unquoted(PASSWORD).map(SecretString::from);
        let file = self.text(PASSWORD_FILE).map(PathBuf::from);
        if password.is_some() && file.is_some() {
            self.problem(format!(
                "{PASSWORD} and {PASSWORD_FILE} are both set; give one"
            ));
            return None;
        }
        let password = match file {
            Some(file) => Some(self.password_in(&file)?),
            None => password,
        };
        match (user, password) {
            (None, None) => Some(None),
            (Some(user), Some(password)) => {
                let is_open = server
                    .is_some_and(|server| server.tls == EmailTls::None && !server.is_loopback);
                if is_open {
                    self.problem(format!(
                        "{TLS} is none and a password is given, so it would be sent unencrypted to \
                         another machine; use starttls or implicit"
                    ));
                    return None;
                }
                Some(Some((user, password)))
            }
            (Some(_), None) => {
                self.problem(format!(
                    "{USER} is set but neither {PASSWORD_FILE} nor {PASSWORD} is"
                ));
                None
            }
            (None, Some(_)) => {
                self.problem(format!(
                    "a password for the mail server is given but {USER} is not"
                ));
                None
            }
        }
    }

    fn password_in(&mut self, path: &std::path::Path) -> Option<SecretString> {
        let text = self.file(PASSWORD_FILE, path)?;
        let Ok(text) = String::from_utf8(text) else {
            self.problem(format!("{PASSWORD_FILE} contains no UTF-8 text"));
            return None;
        };
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() || password.contains(['\r', '\n']) {
            self.problem(format!(
                "{PASSWORD_FILE} must contain one line, the password"
            ));
            return None;
        }
        Some(password.into())
    }

    fn authorities(&mut self) -> Option<Option<Vec<u8>>> {
        let Some(path) = self.text(CA_FILE).map(PathBuf::from) else {
            return Some(None);
        };
        let pem = self.file(CA_FILE, &path)?;
        let mark = b"-----BEGIN CERTIFICATE-----";
        if !pem.windows(mark.len()).any(|window| window == mark) {
            self.problem(format!("{CA_FILE} contains no certificate in PEM"));
            return None;
        }
        Some(Some(pem))
    }

    fn file(&mut self, name: &str, path: &std::path::Path) -> Option<Vec<u8>> {
        let read = secret_files::open_named(path).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(MAX_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        read.map_err(|error| self.problem(format!("{name} ({}): {error}", path.display())))
            .ok()
    }

    fn sender(&mut self) -> Option<Sender> {
        let Some(text) = self.unquoted(FROM) else {
            self.problem(format!(
                "{URL} is set but {FROM} is not; set whom e-mails are from, such as \
                 Sync <sync@example.com>"
            ));
            return None;
        };
        let sender = Sender::parse(&text);
        if sender.is_none() {
            self.problem(format!(
                "{FROM} is no address, such as sync@example.com or Sync <sync@example.com>"
            ));
        }
        sender
    }

    fn sign_in(&mut self) -> Option<Url> {
        let Some(text) = self.text(SIGN_IN) else {
            // What is wrong with it is said where the server reads it.
            let public = self.text(PUBLIC_URL).as_deref().and_then(http_url);
            if public.is_none() {
                self.problem(format!(
                    "{URL} is set but {SIGN_IN} is not; set the page where merchants sign in, such \
                     as https://app.example.com/sign-in"
                ));
            }
            return public;
        };
        let url = http_url(&text);
        let problem = match &url {
            None => "is not an http(s) URL, such as https://app.example.com/sign-in",
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                "contains a user or a password, which would be in every e-mail"
            }
            Some(url) if url.query().is_some() || url.fragment().is_some() => {
                "contains a query or a fragment, which may contain secrets; give the page alone"
            }
            Some(url) if url.scheme() == "http" && !is_loopback(url) => {
                "is an http:// address of another machine: merchants would sign in unencrypted; \
                 use https://"
            }
            Some(_) => return url,
        };
        self.problem(format!("{SIGN_IN} {problem}"));
        None
    }
}

/// The address of a mail server is none of the web, so hosts in it are texts.
fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use secrecy::ExposeSecret as _;

    use super::*;

    const FROM_SYNC: (&str, &str) = (FROM, "Sync <sync@example.com>");
    const SIGN_IN_THERE: (&str, &str) = (SIGN_IN, "https://app.example.com/sign-in");

    fn read(values: &[(&str, &str)]) -> (Option<EmailSettings>, Vec<String>) {
        let lookup = |name: &str| {
            let found = values.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let mut reader = SettingsReader::new(&lookup);
        let settings = reader.email();
        (settings, reader.problems())
    }

    fn with(values: &[(&'static str, &'static str)]) -> (Option<EmailSettings>, Vec<String>) {
        read(&[values, &[FROM_SYNC, SIGN_IN_THERE]].concat())
    }

    #[test]
    fn the_way_is_encrypted_unless_it_stays_on_this_machine_or_somebody_says_so() {
        let table = [
            (
                vec![(URL, "smtp://mail.example.com")],
                587,
                EmailTls::StartTls,
            ),
            (
                vec![(URL, "smtps://mail.example.com")],
                465,
                EmailTls::Implicit,
            ),
            (
                vec![(URL, "smtps://mail.example.com:2465")],
                2465,
                EmailTls::Implicit,
            ),
            (vec![(URL, "smtp://127.0.0.1:2525")], 2525, EmailTls::None),
            (vec![(URL, "smtp://[::1]:2525")], 2525, EmailTls::None),
            (
                vec![(URL, "smtp://localhost"), (TLS, "starttls")],
                587,
                EmailTls::StartTls,
            ),
            (
                vec![(URL, "smtp://mail.internal:25"), (TLS, "none")],
                25,
                EmailTls::None,
            ),
            (
                vec![(URL, "smtp://mail.example.com:465"), (TLS, "implicit")],
                465,
                EmailTls::Implicit,
            ),
        ];
        for (values, port, tls) in table {
            let (settings, problems) = with(&values);
            assert_eq!(problems, [""; 0], "{values:?}");
            let settings = settings.unwrap();
            assert_eq!((settings.port, settings.tls), (port, tls), "{values:?}");
            assert!(!settings.host.contains('['), "{}", settings.host);
        }
        assert!(read(&[]).0.is_none() && read(&[]).1.is_empty());
    }

    #[test]
    fn each_wrong_value_is_a_problem_that_names_its_setting() {
        let server = (URL, "smtp://mail.example.com");
        let table = [
            (vec![(URL, "mail.example.com")], URL, "not the address"),
            (
                vec![(URL, "http://mail.example.com")],
                URL,
                "not the address",
            ),
            (vec![(URL, "smtp://mail.example.com/x")], URL, "more than"),
            (
                vec![(URL, "smtp://u:hunter2@mail.example.com")],
                URL,
                "user or a password",
            ),
            (
                vec![(URL, "smtp://mail.example.com:99999")],
                URL,
                "not the address",
            ),
            (vec![server, (TLS, "yes")], TLS, "none of"),
            (
                vec![(URL, "smtps://mail.example.com"), (TLS, "none")],
                TLS,
                "smtps://",
            ),
            (vec![server, (USER, "u")], USER, "neither"),
            (vec![server, (PASSWORD, "hunter2")], USER, "is not"),
            (
                vec![
                    server,
                    (USER, "u"),
                    (PASSWORD, "hunter2"),
                    (PASSWORD_FILE, "/x"),
                ],
                PASSWORD,
                "both",
            ),
            (
                vec![server, (USER, "u"), (PASSWORD_FILE, "/nowhere/password")],
                PASSWORD_FILE,
                "/nowhere/password",
            ),
            (
                vec![server, (USER, "u"), (PASSWORD, "hunter2"), (TLS, "none")],
                TLS,
                "unencrypted",
            ),
            (
                vec![server, (CA_FILE, "/nowhere/ca.pem")],
                CA_FILE,
                "/nowhere/ca.pem",
            ),
            (
                vec![server, (CA_FILE, "/dev/null")],
                CA_FILE,
                "no certificate",
            ),
            (vec![(USER, "u")], USER, URL),
            (vec![(TLS, "none")], TLS, URL),
        ];
        for (values, name, expected) in table {
            // With none of the others, where it is about them.
            let (settings, problems) = match values.iter().any(|(name, _)| *name == URL) {
                true => with(&values),
                false => read(&values),
            };
            assert!(settings.is_none(), "{values:?}");
            assert_eq!(problems.len(), 1, "{values:?}: {problems:?}");
            assert!(problems[0].contains(name), "{values:?}: {problems:?}");
            assert!(problems[0].contains(expected), "{values:?}: {problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn an_e_mail_is_from_somebody_and_leads_somewhere() {
        let server = (URL, "smtp://mail.example.com");
        let wrong = [
            (vec![server, SIGN_IN_THERE], FROM),
            (vec![server, SIGN_IN_THERE, (FROM, "Sync")], FROM),
            (vec![server, SIGN_IN_THERE, (FROM, "sync@localhost")], FROM),
            (vec![server, FROM_SYNC], SIGN_IN),
            (
                vec![server, FROM_SYNC, (SIGN_IN, "app.example.com")],
                SIGN_IN,
            ),
            (
                vec![server, FROM_SYNC, (SIGN_IN, "http://app.example.com")],
                SIGN_IN,
            ),
            (
                vec![server, FROM_SYNC, (SIGN_IN, "https://u:p@app.example.com")],
                SIGN_IN,
            ),
            (
                vec![
                    server,
                    FROM_SYNC,
                    (SIGN_IN, "https://app.example.com/?token=x"),
                ],
                SIGN_IN,
            ),
            (
                vec![server, FROM_SYNC, (SIGN_IN, "https://app.example.com/#x")],
                SIGN_IN,
            ),
        ];
        for (values, name) in wrong {
            let (settings, problems) = read(&values);
            assert!(settings.is_none());
            assert!(
                problems.len() == 1 && problems[0].contains(name),
                "{values:?}: {problems:?}"
            );
        }
        let (settings, _) = read(&[server, FROM_SYNC, (PUBLIC_URL, "https://sync.example.com")]);
        assert_eq!(
            settings.unwrap().sign_in.as_str(),
            "https://sync.example.com/"
        );
    }

    #[test]
    fn the_password_is_the_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let given = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let file = path.to_str().unwrap();
            let server = (URL, "smtp://mail.example.com");
            read(&[
                server,
                FROM_SYNC,
                SIGN_IN_THERE,
                (USER, "u"),
                (PASSWORD_FILE, file),
            ])
        };
        let (settings, problems) = given("hunter 2\r\n");
        assert_eq!(problems, [""; 0]);
        let (user, password) = settings.as_ref().unwrap().credentials.as_ref().unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("u", "hunter 2"));
        assert!(!format!("{settings:?}").contains("hunter"));
        for wrong in ["", "\n", "a\nb\n"] {
            let (settings, problems) = given(wrong);
            assert!(
                settings.is_none() && problems.len() == 1,
                "{wrong:?} {problems:?}"
            );
        }
    }
}
