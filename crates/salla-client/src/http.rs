//! The HTTP clients, with everything that matters about them in one place.

use std::time::Duration;

use domain::failure::Failure;
use reqwest::redirect::{Attempt, Policy};

const CONNECT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 3;
/// Connections that are kept for the next burst.
const IDLE: usize = 32;

/// The client for Salla's API. It leaves retrying and the time-out of a request to
/// the request loop, which has one budget for both.
pub fn http_client() -> Result<reqwest::Client, Failure> {
    build(builder().pool_max_idle_per_host(IDLE))
}

/// Several of these, for many shops: each has connections of its own, and together they
/// keep few more that nobody uses than one would.
pub fn http_clients(number: usize) -> Result<Vec<reqwest::Client>, Failure> {
    let idle = (2 * IDLE).div_ceil(number.max(1)).min(IDLE);
    let one = |_| build(builder().pool_max_idle_per_host(idle));
    (0..number).map(one).collect()
}

/// The client for `POST /oauth2/token`, whose refresh tokens must never be sent twice
/// (FACTS §2.4): no connection is used again, so none can turn out to be closed half
/// way through, and nothing is redirected. Its answers are short, so nothing is unpacked.
pub fn token_client() -> Result<reqwest::Client, Failure> {
    let builder = builder().pool_max_idle_per_host(0).gzip(false);
    build(builder.redirect(Policy::none()))
}

pub(crate) fn builder() -> reqwest::ClientBuilder {
    // Fails only if a provider is installed already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_nodelay(true)
        .gzip(true)
        .redirect(Policy::custom(stay_on_host))
        .retry(reqwest::retry::never())
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    builder.build().map_err(|error| Failure::Bug {
        what: format!("the HTTP client cannot be set up: {error}"),
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
    if same && attempt.previous().len() <= MOST_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}
