//! Answers as they come, for finding out how Salla behaves.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use domain::failure::Failure;
use tracing::Instrument as _;
use url::Url;

use super::{Ask, Journey, Requester, Step, UsualSizes};
use crate::classify::Verdict;
use crate::pacing::RateHeaders;

/// An answer that ends a question, whatever its status.
#[derive(Clone, Debug)]
pub struct Heard {
    pub status: u16,
    pub headers: RateHeaders,
    pub body: Bytes,
    /// Of each 429 on the way here: whether it said when to come back.
    pub throttles: Vec<bool>,
}

impl Requester {
    /// Asks with the same budget, token and patience as [`Requester::get`], but takes
    /// a refusal for an answer. The body may hold personal data.
    pub async fn hear(&self, ask: &Ask) -> Result<Heard, Failure> {
        let mut journey = Journey::new(self.retry);
        let mut throttles = Vec::new();
        loop {
            let attempt = self.attempt(ask, self.need(ask, &journey));
            let attempt = attempt.instrument(journey.next_attempt()).await?;
            let took = self.clock.monotonic().saturating_sub(attempt.sent);
            if let (Ok((verdict, body)), Some((status, headers))) =
                (&attempt.outcome, attempt.status)
            {
                match verdict {
                    Verdict::Success
                    | Verdict::Gone
                    | Verdict::Invalid { .. }
                    | Verdict::Forbidden
                    | Verdict::ScopeMissing { .. } => {
                        return Ok(Heard {
                            status,
                            headers,
                            body: body.clone(),
                            throttles,
                        });
                    }
                    Verdict::Throttled { retry_after } => throttles.push(retry_after.is_some()),
                    Verdict::RetryLater { .. }
                    | Verdict::Blocked { .. }
                    | Verdict::TokenRejected
                    | Verdict::Unauthorised401Unknown
                    | Verdict::Inactive
                    | Verdict::Broken { .. } => {}
                }
            }
            match self.judge(ask, attempt, &|_| Ok(()), &mut journey).await? {
                Step::Next(next) => {
                    let prepared = self.prepare(ask, next, took, &mut journey).await;
                    prepared.map_err(|(failure, _)| failure)?;
                }
                Step::Done(_) => {
                    return Err(Failure::Bug {
                        what: format!("{}: a refusal was taken for an answer", ask.what),
                    });
                }
            }
        }
    }

    /// The same connection to another host of Salla's.
    pub(crate) fn at(&self, url: Url) -> Self {
        Self {
            http: self.http.clone(),
            api_url: url,
            clock: self.clock.clone(),
            tokens: self.tokens.clone(),
            tokens_served: self.tokens_served.clone(),
            shop: self.shop.clone(),
            customers: self.customers.clone(),
            customers_lane: self.customers_lane.clone(),
            concurrency: self.concurrency.clone(),
            memory: self.memory.clone(),
            usual_sizes: UsualSizes::default(),
            retry: self.retry,
            timeout: self.timeout,
            user_agent: self.user_agent.clone(),
            rng: Mutex::new(fastrand::Rng::with_seed(0)),
            retries: AtomicU64::new(0),
        }
    }
}
