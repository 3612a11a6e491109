//! Addresses of others: whether requests can be sent to them, and what is sent to them may
//! be.

use salla_client::http::{is_loopback, obstacle};
use url::Url;

use super::{API_URL, SettingsReader};

/// The path of Salla's API on Salla's own hosts.
const API_PATH: &str = "/admin/v2";
const ALLOW_HTTP: &str = "SALLA_ALLOW_HTTP";

impl SettingsReader<'_> {
    /// An address of Salla's, to which tokens are sent.
    pub(super) fn salla_url(&mut self, name: &str, default: &str) -> Option<Url> {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        let Some(url) = http_url(text.trim_end_matches('/')) else {
            self.problem(format!(
                "{name} is not an http(s) URL, which begins with https://; leave it unset for the \
                 real Salla ({default})"
            ));
            return None;
        };
        let has_more = url.query().is_some() || url.fragment().is_some();
        let problem = if has_more || !url.username().is_empty() || url.password().is_some() {
            Some("contains more than a scheme, a host, a port and a path".to_owned())
        } else if default == API_URL && lacks_the_api_path(&url) {
            Some(format!("lacks {API_PATH}: Salla's address is {API_URL}"))
        } else if url.scheme() == "http" && !is_loopback(&url) && !self.allows_http() {
            Some(format!(
                "is an http:// address of another machine, so tokens would be sent unencrypted; \
                 use https://, or set {ALLOW_HTTP}=1 if the network is trusted"
            ))
        } else {
            None
        };
        match problem {
            Some(problem) => {
                self.problem(format!("{name} {problem}"));
                None
            }
            None => Some(url),
        }
    }

    fn allows_http(&mut self) -> bool {
        self.text(ALLOW_HTTP).as_deref() == Some("1")
    }

    /// Reports what keeps requests to this address from being sent.
    pub(super) fn must_be_reachable(&mut self, name: &str, url: &Url) {
        if let Some(obstacle) = obstacle(url) {
            self.problem(format!("{name} cannot be reached: {obstacle}"));
        }
    }
}

pub(super) fn http_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn lacks_the_api_path(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_sallas = host.ends_with(".salla.dev") || host.ends_with(".salla.sa");
    is_sallas && url.path() != API_PATH
}

/// What an address of the API that responds with "not found" may lack.
pub fn api_path_hint(url: &Url) -> String {
    match url.path().ends_with(API_PATH) {
        true => String::new(),
        false => format!("; the path of Salla's API ends with {API_PATH}"),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::ACCOUNTS_URL;

    fn read(name: &str, value: &str, allow: Option<&str>) -> Result<String, String> {
        let lookup = |asked: &str| match asked {
            ALLOW_HTTP => allow.map(OsString::from),
            asked => (asked == name).then(|| value.into()),
        };
        let default = match name {
            "SALLA_API_URL" => API_URL,
            _ => ACCOUNTS_URL,
        };
        let mut reader = SettingsReader::new(&lookup);
        let url = reader.salla_url(name, default);
        match url {
            Some(url) => Ok(url.to_string()),
            None => Err(reader.problems().join("\n")),
        }
    }

    #[test]
    fn what_is_no_address_of_salla_is_a_problem_that_names_the_setting() {
        let table = [
            ("api.salla.dev/admin/v2", "is not an http(s) URL"),
            ("localhost:8080/admin/v2", "is not an http(s) URL"),
            ("//api.salla.dev/admin/v2", "is not an http(s) URL"),
            ("ftp://api.salla.dev/admin/v2", "is not an http(s) URL"),
            (
                "\"https://api.salla.dev/admin/v2\"",
                "is not an http(s) URL",
            ),
            ("https://api.salla.dev", "lacks /admin/v2"),
            ("https://api.salla.dev/v2", "lacks /admin/v2"),
            ("https://api.salla.dev/admin/v2/orders", "lacks /admin/v2"),
            ("https://u:p@api.salla.dev/admin/v2", "contains more than"),
            ("https://api.salla.dev/admin/v2?x=1", "contains more than"),
            ("https://api.salla.dev/admin/v2#x", "contains more than"),
            ("http://10.0.0.7/admin/v2", "unencrypted"),
            ("http://salla.internal:8080/admin/v2", "unencrypted"),
            ("http://api.salla.dev/admin/v2", "unencrypted"),
        ];
        for (value, expected) in table {
            let problem = read("SALLA_API_URL", value, None).unwrap_err();
            assert!(problem.starts_with("SALLA_API_URL "), "{value}: {problem}");
            assert!(problem.contains(expected), "{value}: {problem}");
        }
        let problem = read("SALLA_ACCOUNTS_URL", "http://accounts.example", None).unwrap_err();
        assert!(problem.contains("SALLA_ALLOW_HTTP=1"), "{problem}");
    }

    #[test]
    fn addresses_of_salla_and_of_what_stands_in_for_it_are_taken() {
        let table = [
            ("https://api.salla.dev/admin/v2", None),
            (" https://api.salla.dev/admin/v2/ ", None),
            ("https://gateway.example/salla", None),
            ("http://127.0.0.1:8080/admin/v2", None),
            ("http://localhost:8080/admin/v2", None),
            ("http://[::1]:8080/admin/v2", None),
            ("http://10.0.0.7/admin/v2", Some("1")),
        ];
        for (value, allow) in table {
            let url = read("SALLA_API_URL", value, allow).unwrap();
            assert_eq!(url, value.trim().trim_end_matches('/'));
        }
        for word in ["0", "no", "true", ""] {
            assert!(read("SALLA_API_URL", "http://10.0.0.7/admin/v2", Some(word)).is_err());
        }
        assert!(read("SALLA_ACCOUNTS_URL", "https://accounts.salla.sa/", None).is_ok());
    }
}
