//! What a client is built from.

use std::sync::Arc;
use std::time::Duration;

use importer::memory::Memory;
use importer::ports::clock::Clock;
use url::Url;

use crate::admission::Budget;
use crate::pacing::WithoutHeaders;
use crate::retry::RetryPolicy;
use crate::tokens::TokenSource;

#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `https://api.salla.dev/admin/v2`
    pub api_url: Url,
    pub http: reqwest::Client,
    pub clock: Arc<dyn Clock>,
    pub rng_seed: u64,
    pub tokens: TokenSource,
    /// Share of the shop's budget that is ours, in (0, 1].
    pub share: f64,
    /// What the shop's plan documents, if it is known yet.
    pub prior_limit: Option<u32>,
    pub without_headers: WithoutHeaders,
    /// Nothing is sent before this moment of the clock's monotonic time; see
    /// [`PacerSettings::not_before`](crate::pacing::PacerSettings::not_before).
    pub not_before: Option<Duration>,
    /// From [`customers_budget`](super::customers_budget); one for all shops served from this address.
    pub customers_budget: Arc<Budget>,
    /// At most so many requests in flight, in 1..=96.
    pub concurrency: u32,
    /// One for all shops of a process.
    pub memory: Memory,
    pub timeout: Duration,
    pub retry: RetryPolicy,
    /// `salla-sync/<version>`
    pub user_agent: String,
}

impl ClientSettings {
    /// Whole budget, documented hosts and the usual time-outs.
    pub fn new(
        api_url: Url,
        http: reqwest::Client,
        clock: Arc<dyn Clock>,
        tokens: TokenSource,
        customers_budget: Arc<Budget>,
    ) -> Self {
        Self {
            api_url,
            http,
            clock,
            rng_seed: 0,
            tokens,
            share: 1.0,
            prior_limit: None,
            without_headers: WithoutHeaders::EvenSpacing,
            not_before: None,
            customers_budget,
            concurrency: 96,
            memory: Memory::default(),
            timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            user_agent: concat!("salla-sync/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
