//! The HTTP clients, with everything that matters about them in one place.

mod proxy;

use std::sync::LazyLock;
use std::time::Duration;

use domain::failure::Failure;
use reqwest::redirect::{Attempt, Policy};
use url::Url;

pub use proxy::Way;

const CONNECT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 3;
/// Connections that are kept for the next burst.
const IDLE: usize = 32;

/// The client for Salla's API. It leaves retrying and the time-out of a request to
/// the request loop, which has one budget for both.
pub fn http_client() -> Result<reqwest::Client, Failure> {
    build(builder().pool_max_idle_per_host(IDLE))
}

/// Several of these, for many shops: each has separate connections, and together they keep few more
/// idle ones than one would.
pub fn http_clients(number: usize) -> Result<Vec<reqwest::Client>, Failure> {
    let idle = (2 * IDLE).div_ceil(number.max(1)).min(IDLE);
    let one = |_| build(builder().pool_max_idle_per_host(idle));
    (0..number).map(one).collect()
}

/// The client for `POST /oauth2/token`, whose refresh tokens must never be sent twice
/// (docs/salla-api.md#refresh): no connection is used again, so none can turn out to be closed half
/// way through, and nothing is redirected. Its answers are short, so nothing is unpacked.
pub fn token_client() -> Result<reqwest::Client, Failure> {
    let builder = builder().pool_max_idle_per_host(0).gzip(false);
    build(builder.redirect(Policy::none()))
}

/// What all clients of this program have in common: proxies, and the trusted certificates.
pub fn base_builder() -> reqwest::ClientBuilder {
    let builder = proxy::proxies()
        .of_client()
        .fold(bare_builder(), reqwest::ClientBuilder::proxy);
    // A client can always be made: addresses with http:// need no authority.
    match has_authorities() {
        true => builder,
        false => builder.tls_certs_only([]),
    }
}

/// Without the proxies that the library would find automatically.
fn bare_builder() -> reqwest::ClientBuilder {
    // Fails only if a provider is installed already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// Whether this machine knows any certificate authority; without one no https:// address can be
/// used.
fn has_authorities() -> bool {
    // All that can keep a client without other settings from being made.
    static FOUND: LazyLock<bool> = LazyLock::new(|| bare_builder().build().is_ok());
    *FOUND
}

/// Why requests to this address could not even be sent, with what to do about it.
pub fn obstacle(url: &Url) -> Option<String> {
    if url.scheme() == "https" && !has_authorities() {
        return Some(
            "there are no certificate authorities on this machine, so no https:// address can be \
             used; install the package ca-certificates, or set SSL_CERT_FILE to a file with them"
                .to_owned(),
        );
    }
    proxy::proxies().problem(url)
}

/// The proxy through which requests to this address go, if any.
pub fn way_to(url: &Url) -> Option<Way> {
    proxy::proxies().way(url)
}

/// Whether the address is one of this machine, which nothing leaves.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

pub(crate) fn builder() -> reqwest::ClientBuilder {
    base_builder()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_nodelay(true)
        .gzip(true)
        .redirect(Policy::custom(stay_on_host))
        .retry(reqwest::retry::never())
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    builder.build().map_err(|error| Failure::Bug {
        message: format!("the HTTP client cannot be set up: {error}"),
    })
}

/// A token that was meant for one host is not shown to another.
fn stay_on_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let came_from = attempt.previous().last();
    let same = came_from.is_some_and(|url| {
        (url.scheme(), url.host(), url.port_or_known_default())
            == (
                attempt.url().scheme(),
                attempt.url().host(),
                attempt.url().port_or_known_default(),
            )
    });
    if same && attempt.previous().len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// Why there was no connection, as far as the error says, without the address.
pub fn reason(error: &reqwest::Error) -> Option<&'static str> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(reason) = error.downcast_ref().and_then(reason_of_io) {
            return Some(reason);
        }
        if error.to_string().starts_with("dns error") {
            return Some("its name cannot be resolved");
        }
        source = error.source();
    }
    None
}

fn reason_of_io(error: &std::io::Error) -> Option<&'static str> {
    use std::io::ErrorKind;
    let inner = error.get_ref();
    if inner.is_some_and(|inner| {
        matches!(
            inner.downcast_ref(),
            Some(rustls::Error::InvalidCertificate(_))
        )
    }) {
        return Some("its certificate is not accepted");
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Some("connection refused"),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Some("no route to it"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_known() {
        let table = [
            ("http://127.0.0.1:8080/", true),
            ("http://127.1.2.3/", true),
            ("http://localhost/", true),
            ("http://LOCALHOST:1/", true),
            ("http://salla.localhost/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
            ("http://0.0.0.0/", false),
            ("http://127.0.0.1.example/", false),
        ];
        for (url, expected) in table {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn an_error_says_why_there_is_no_connection() {
        let client = http_client().unwrap();
        for (url, expected) in [
            ("http://127.0.0.1:1/", "connection refused"),
            ("http://nowhere.invalid/", "its name cannot be resolved"),
        ] {
            let error = client.get(url).send().await.unwrap_err();
            assert_eq!(reason(&error), Some(expected), "{url}");
        }
    }
}
