//! The way of one request: wait for budget, take the token, send, read, classify, and
//! again, within one retry budget.

mod ask;
mod attempt;
mod body;
mod departure;
mod endpoint;
mod hear;
mod trouble;
mod verdicts;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::failure::Failure;
use importer::memory::{self, Memory, Need, Room};
use importer::ports::clock::Clock;
use importer::ports::platform::BudgetReading;
use tokio::sync::Semaphore;
use tracing::{Instrument as _, Span};
use url::Url;

use crate::admission::Budget;
use crate::admission::Concurrency;
use crate::envelope::EnvelopeError;
use crate::retry::{RetryPolicy, Tries};
use crate::tokens::{TokenSource, TokensServed};
pub use ask::{Ask, Fetched, STORE_INFO, store_info};
pub use body::UsualSizes;
pub use hear::Heard;
use trouble::{Trouble, tell};

/// What is needed to send requests for one shop.
#[derive(Debug)]
pub struct Requester {
    pub http: reqwest::Client,
    pub api_url: Url,
    pub clock: Arc<dyn Clock>,
    pub tokens: TokenSource,
    pub tokens_served: TokensServed,
    pub shop: Arc<Budget>,
    /// Shared by all shops that are served from this address (docs/salla-api.md#rate-limits).
    pub customers: Arc<Budget>,
    /// Held while a request waits for the customers' budget and then for its own shop's;
    /// see [`customers_lane`].
    pub customers_lane: Arc<Semaphore>,
    pub concurrency: Arc<Concurrency>,
    /// Shared by all shops of this process.
    pub memory: Memory,
    pub usual_sizes: UsualSizes,
    pub retry: RetryPolicy,
    /// For a whole request, from sending to the last byte of its answer.
    pub timeout: Duration,
    pub user_agent: String,
    pub rng: Mutex<fastrand::Rng>,
    pub retries: AtomicU64,
}

/// One request of a shop waits for the customers' budget while another one that has a
/// permit of it waits for the shop's. The others wait outside: each shop has its place in
/// the line for the customers' budget however many pages it wants, and few of a budget's
/// scarce permits are under way to being used.
pub fn customers_lane() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(LANE))
}

const LANE: usize = 2;

/// How one try ended that did not end the request.
enum Next {
    /// At once, or when the budget allows: it costs no attempt.
    Again,
    Failed(Trouble, Option<Duration>),
    Throttled,
}

enum Step<T> {
    Done(Option<Fetched<T>>),
    Next(Next),
}

/// What a refusal costs at least, so that their number is bounded.
const LEAST_HOLD: Duration = Duration::from_secs(1);

/// What one request has been through.
struct Journey {
    tries: Tries,
    /// Requests so far, those that cost no try included.
    sent: u32,
    renewals: u32,
    /// Renewals of tokens that have served nothing.
    futile_renewals: u32,
    /// What refusals have cost in waiting so far.
    held: Duration,
    /// An answer has outgrown its room.
    has_outgrown: bool,
}

/// Why a request ends, and the body that is no JSON, where that is what went wrong.
type Ending = (Failure, Option<Bytes>);

impl Journey {
    fn new(retry: RetryPolicy) -> Self {
        Self {
            tries: Tries::new(retry),
            sent: 0,
            renewals: 0,
            futile_renewals: 0,
            held: Duration::ZERO,
            has_outgrown: false,
        }
    }

    /// What is logged within names the attempt.
    fn next_attempt(&mut self) -> Span {
        self.sent += 1;
        tracing::info_span!("request", attempt = self.sent)
    }
}

impl Requester {
    /// Asks until there is an answer, `None` if Salla has no such thing (any more), or
    /// until nothing is left to try. `read` turns the body into what is wanted; it may
    /// be called once per try.
    pub async fn get<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&[u8]) -> Result<T, EnvelopeError> + Sync,
    ) -> Result<Option<Fetched<T>>, Failure> {
        self.get_or_reject(ask, read, |_| None).await
    }

    /// The same for an answer that need not be understood: of a body that is no JSON
    /// however often it is asked for, `reject` may make what stands for it.
    pub async fn get_or_reject<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&[u8]) -> Result<T, EnvelopeError> + Sync,
        reject: impl Fn(&[u8]) -> Option<T> + Sync,
    ) -> Result<Option<Fetched<T>>, Failure> {
        // What an answer takes stays taken until it has been read.
        if !memory::is_fetching() {
            let got = Box::pin(memory::fetching(self.ask_until_answered(ask, read, reject)));
            return got.await.0;
        }
        self.ask_until_answered(ask, read, reject).await
    }

    async fn ask_until_answered<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&[u8]) -> Result<T, EnvelopeError> + Sync,
        reject: impl Fn(&[u8]) -> Option<T> + Sync,
    ) -> Result<Option<Fetched<T>>, Failure> {
        let mut journey = Journey::new(self.retry);
        Room::answer_is_in_hand();
        loop {
            let need = self.need(ask, &journey);
            let attempt = self.attempt(ask, need);
            let attempt = attempt.instrument(journey.next_attempt()).await?;
            let took = self.clock.monotonic().saturating_sub(attempt.sent);
            let version = attempt.version;
            let next = match self.judge(ask, attempt, &read, &mut journey).await? {
                Step::Done(fetched) => return Ok(fetched),
                Step::Next(next) => next,
            };
            let (failure, unread) = match self.prepare(ask, next, took, &mut journey).await {
                Ok(()) => continue,
                Err(ending) => ending,
            };
            return match unread.and_then(|body| reject(&body)) {
                Some(value) => Ok(Some(Fetched { value, version })),
                None => Err(failure),
            };
        }
    }

    fn need(&self, ask: &Ask, journey: &Journey) -> Need {
        match journey.has_outgrown {
            true => Need::greatest(ask.size()),
            false => Need::usual(ask.size(), self.usual_sizes.of(ask.class)),
        }
    }

    /// What the requests so far have taught and cost.
    pub fn reading(&self) -> BudgetReading {
        let counters = self.shop.counters();
        BudgetReading {
            limit_per_minute: self.shop.limit(),
            requests: counters.sent,
            throttled: counters.throttled + counters.blocked,
            retries: self.retries.load(Ordering::Relaxed),
            token_refreshes: self.tokens.refreshes(),
            held_for: self.shop.held_for(),
            wait_of_successor: self.shop.wait_of_successor(),
            waits_for_customers: self.customers_lane.available_permits() < LANE,
        }
    }

    /// Waits as long as the last try demands, or gives up.
    async fn prepare(
        &self,
        ask: &Ask,
        next: Next,
        took: Duration,
        journey: &mut Journey,
    ) -> Result<(), Ending> {
        if !matches!(next, Next::Failed(Trouble::NotJson { .. }, _)) {
            Room::forget_answer();
        }
        match next {
            Next::Again => Ok(()),
            Next::Throttled => {
                let patient = self.stay_patient(ask, journey);
                patient.map_err(|failure| (failure, None))
            }
            Next::Failed(Trouble::Outgrown, _) if !journey.has_outgrown => {
                journey.has_outgrown = true;
                Ok(())
            }
            Next::Failed(trouble @ Trouble::TooLarge(_), _) => {
                Err((tell(&ask.what, trouble, journey.sent), None))
            }
            Next::Failed(trouble, asked) => {
                self.retries.fetch_add(1, Ordering::Relaxed);
                let wait = {
                    let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
                    journey.tries.after_failure(took, asked, &mut rng)
                };
                let failed = journey.tries.failed();
                let Some(wait) = wait else {
                    let unread = trouble.unread();
                    return Err((tell(&ask.what, trouble, failed), unread));
                };
                tracing::debug!(what = ask.what, %trouble, failed, ?wait, "trying again");
                // The answer cannot be used, and waiting may take minutes.
                drop(trouble);
                Room::forget_answer();
                self.clock.sleep(wait).await;
                Ok(())
            }
        }
    }

    /// The budget itself waits after a 429 or a block; here it is only bounded. Waiting for
    /// a turn beside other requests does not count.
    fn stay_patient(&self, ask: &Ask, journey: &mut Journey) -> Result<(), Failure> {
        let of_customers = match ask.customers {
            true => self.customers.held_for(),
            false => Duration::ZERO,
        };
        let wait = self.shop.held_for().max(of_customers);
        // A hold may be over before the answer has been read to its end.
        journey.held += wait.max(LEAST_HOLD);
        if journey.held > self.retry.throttled {
            return Err(Failure::Throttled { wait });
        }
        Ok(())
    }
}
