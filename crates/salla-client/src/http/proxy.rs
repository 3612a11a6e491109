//! Proxies that the environment names, by the rules that curl and most programs share, with one
//! more: services on this machine are never reached through a proxy.

use std::sync::LazyLock;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::NoProxy;
use url::Url;

const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1,::ffff:127.0.0.0/104";

/// Those of this process.
static PROXIES: LazyLock<Proxies> =
    LazyLock::new(|| Proxies::read(&|name| std::env::var_os(name)?.into_string().ok()));

pub(super) fn proxies() -> &'static Proxies {
    &PROXIES
}

/// The proxy through which a request is sent, for people: where it is and what says so, but
/// not its user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub address: String,
    pub variable: &'static str,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "through the proxy {} ({})", self.address, self.variable)
    }
}

/// May hold a password, so it is not shown.
struct Named {
    variable: &'static str,
    value: String,
}

pub(super) struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    all: Option<Named>,
    except: String,
}

impl Proxies {
    fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            let set = names.into_iter().find_map(|variable| {
                let value = lookup(variable)?.trim().to_owned();
                Some(Named { variable, value })
            });
            // Where a web server runs the program, HTTP_PROXY is what a request says.
            set.filter(|named| !named.value.is_empty() && lookup("REQUEST_METHOD").is_none())
        };
        let except = first(["NO_PROXY", "no_proxy"]).map(|named| named.value);
        Self {
            http: first(["HTTP_PROXY", "http_proxy"]),
            https: first(["HTTPS_PROXY", "https_proxy"]),
            all: first(["ALL_PROXY", "all_proxy"]),
            except: format!("{},{THIS_MACHINE}", except.unwrap_or_default()),
        }
    }

    fn named(&self, url: &Url) -> Option<&Named> {
        let own = match url.scheme() {
            "https" => &self.https,
            _ => &self.http,
        };
        own.as_ref().or(self.all.as_ref())
    }

    pub(super) fn of_client(&self) -> impl Iterator<Item = reqwest::Proxy> {
        let made = [
            self.http.as_ref().map(|p| reqwest::Proxy::http(&p.value)),
            self.https.as_ref().map(|p| reqwest::Proxy::https(&p.value)),
            self.all.as_ref().map(|p| reqwest::Proxy::all(&p.value)),
        ];
        // One that is not an address is reported with the settings.
        let usable = made.into_iter().flatten().filter_map(Result::ok);
        usable.map(|proxy| proxy.no_proxy(NoProxy::from_string(&self.except)))
    }

    /// The way of a request to `url`, if it goes through a proxy.
    pub(super) fn way(&self, url: &Url) -> Option<Way> {
        let named = self.named(url)?;
        let matcher = Matcher::builder()
            .all(named.value.clone())
            .no(self.except.clone())
            .build();
        let proxy = matcher.intercept(&url.as_str().parse().ok()?)?;
        Some(Way {
            address: proxy.uri().authority()?.to_string(),
            variable: named.variable,
        })
    }

    /// Why requests to `url` cannot be sent through the proxy that is set for them.
    pub(super) fn problem(&self, url: &Url) -> Option<String> {
        let named = self.named(url)?;
        let passes_by = Matcher::builder()
            .all("http://proxy.invalid")
            .no(self.except.clone())
            .build();
        passes_by.intercept(&url.as_str().parse().ok()?)?;
        let variable = named.variable;
        if named.value.starts_with("socks") {
            return Some(format!(
                "{variable} names a SOCKS proxy, which salla-sync cannot use; name an http:// \
                 proxy, or list the host in NO_PROXY"
            ));
        }
        let is_usable = reqwest::Proxy::all(&named.value).is_ok() && self.way(url).is_some();
        (!is_usable).then(|| {
            format!(
                "{variable} is not the address of a proxy, such as http://proxy.example:3128; \
                 correct it, or list the host in NO_PROXY"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(values: &[(&str, &str)]) -> Proxies {
        Proxies::read(&|name| {
            let found = values.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn way(values: &[(&str, &str)], url: &str) -> Option<String> {
        let way = proxies(values).way(&Url::parse(url).unwrap());
        way.map(|way| way.to_string())
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let everything = [
            ("HTTP_PROXY", "http://proxy.example:3128"),
            ("https_proxy", "proxy.example:3128"),
            ("ALL_PROXY", "socks5://proxy.example"),
            ("NO_PROXY", "elsewhere.example"),
        ];
        for host in [
            "127.0.0.1:8080",
            "localhost:4318",
            "LOCALHOST",
            "salla.localhost",
            "127.8.9.1",
            "[::1]:9464",
            "[::ffff:127.0.0.1]",
        ] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}/admin/v2");
                assert_eq!(way(&everything, &url), None, "{url}");
                let problem = proxies(&everything).problem(&Url::parse(&url).unwrap());
                assert_eq!(problem, None, "{url}");
            }
        }
    }

    #[test]
    fn the_proxy_is_named_without_its_password() {
        let password = ("HTTPS_PROXY", "http://user:secret@proxy.example:3128/");
        let api = "https://api.salla.dev/admin/v2";
        let named = "through the proxy proxy.example:3128 (HTTPS_PROXY)";
        assert_eq!(way(&[password], api).as_deref(), Some(named));
        assert_eq!(way(&[password], "http://api.salla.dev"), None);
        assert_eq!(way(&[password, ("NO_PROXY", ".salla.dev")], api), None);
        assert_eq!(way(&[password, ("no_proxy", "*")], api), None);
        assert_eq!(way(&[password, ("REQUEST_METHOD", "GET")], api), None);
        let all = [("all_proxy", "proxy.example")];
        let named = "through the proxy proxy.example (all_proxy)";
        assert_eq!(way(&all, api).as_deref(), Some(named));
        assert_eq!(way(&[("HTTPS_PROXY", "")], api), None);
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_by_its_variable() {
        let api = Url::parse("https://api.salla.dev/admin/v2").unwrap();
        for (variable, value) in [
            ("HTTPS_PROXY", "http://us er:secret@"),
            ("https_proxy", "ftp://secret.example"),
            ("ALL_PROXY", "socks5://user:secret@proxy.example"),
            ("HTTPS_PROXY", "socks5h://secret.example:1080"),
        ] {
            let proxies = proxies(&[(variable, value)]);
            let problem = proxies.problem(&api).unwrap();
            assert!(problem.starts_with(variable), "{problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
        let other = [("HTTP_PROXY", "socks5://proxy.example")];
        assert_eq!(proxies(&other).problem(&api), None);
        let good = [("HTTPS_PROXY", "proxy.example:3128")];
        assert_eq!(proxies(&good).problem(&api), None);
        assert_eq!(proxies(&good).of_client().count(), 1);
    }
}
