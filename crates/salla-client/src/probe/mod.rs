//! Questions about Salla's API that its documentation leaves open
//! (docs/salla-api.md#not-established), put to a real shop by reading alone.
//!
//! What is found may be passed on: statuses, counts, names of members, yes or no. No
//! value of a record gets into a [`Finding`].

mod date_filters;
mod order_detail;
mod order_list;
mod prober;
mod resources;

use domain::failure::Failure;
use serde::Serialize;
use url::Url;

use crate::SallaClient;
use prober::Prober;

/// The most requests that a probe sends, retries aside.
pub const MAX_REQUESTS: u64 = 24;

#[derive(Clone, Debug, Serialize)]
pub struct ProbeReport {
    pub requests: u64,
    pub findings: Vec<Finding>,
}

/// A question with its answer and the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub question: &'static str,
    /// `yes`, `no`, `unknown`, or a few words.
    pub answer: String,
    pub evidence: String,
}

/// Answers all questions. `accounts_url` is the host that knows the user. An `Err` means that
/// no request succeeds at all; a question whose requests fail is answered `unknown`.
pub async fn probe(client: &SallaClient, accounts_url: Url) -> Result<ProbeReport, Failure> {
    let mut prober = Prober::new(&client.requester);
    resources::shop(&mut prober).await?;
    let listed = order_list::orders(&mut prober).await?;
    order_detail::parts(&mut prober, &listed).await?;
    date_filters::filters(&mut prober, &listed).await?;
    resources::customers(&mut prober).await?;
    resources::products(&mut prober).await?;
    resources::user(&mut prober, accounts_url).await?;
    resources::throttling(&mut prober);
    Ok(ProbeReport {
        requests: prober.sent,
        findings: prober.findings,
    })
}
