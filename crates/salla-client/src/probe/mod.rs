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
use prober::Surveyor;

/// The most that a survey asks, retries aside.
pub const MOST_REQUESTS: u64 = 24;

#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    pub requests: u64,
    pub findings: Vec<Finding>,
}

/// A question with its answer, and what the answer rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub question: &'static str,
    /// `yes`, `no`, `unknown`, or a few words.
    pub answer: String,
    pub evidence: String,
}

/// Asks everything. `accounts_url` is the host that knows the user. An `Err` means that
/// nothing can be asked at all; a question that fails by itself is answered `unknown`.
pub async fn survey(client: &SallaClient, accounts_url: Url) -> Result<Survey, Failure> {
    let mut surveyor = Surveyor::new(&client.requester);
    resources::shop(&mut surveyor).await?;
    let listed = order_list::orders(&mut surveyor).await?;
    order_detail::parts(&mut surveyor, &listed).await?;
    date_filters::filters(&mut surveyor, &listed).await?;
    resources::customers(&mut surveyor).await?;
    resources::products(&mut surveyor).await?;
    resources::user(&mut surveyor, accounts_url).await?;
    resources::throttling(&mut surveyor);
    Ok(Survey {
        requests: surveyor.asked,
        findings: surveyor.findings,
    })
}
