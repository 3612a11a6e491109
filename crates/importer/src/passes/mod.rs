//! The two passes, the heart of the import: [`walk`] reads lists page by page and
//! [`details`] completes orders one by one.

pub mod details;
pub mod walk;

use std::sync::Arc;

use domain::failure::Failure;
use domain::rejection::RejectionLimit;
use domain::window::Overlap;
use tokio::task::{JoinError, JoinSet};

use crate::ports::clock::Clock;
use crate::ports::landing::{Landed, Landing, RunLease};
use crate::ports::platform::Platform;
use crate::ports::runs::Runs;
use crate::progress::Tracker;

/// What both passes work with; one per claimed run.
#[derive(Clone)]
pub struct Workshop {
    pub platform: Arc<dyn Platform>,
    pub landing: Arc<dyn Landing>,
    pub runs: Arc<dyn Runs>,
    pub clock: Arc<dyn Clock>,
    pub tracker: Arc<Tracker>,
    pub lease: RunLease,
    pub overlap: Overlap,
    pub rejection_limit: RejectionLimit,
    /// Walks of one window before its difference is shown instead of walked again.
    pub max_walks: u32,
    pub max_orders: Option<u64>,
}

/// Requests of one pass that are under way at once. The client's budget and its
/// concurrency limit decide how many are really sent; this only bounds memory: a
/// page of 60 whole orders takes about a megabyte while it is decoded.
pub const IN_FLIGHT: usize = 16;

impl Workshop {
    /// Stops the run when so many records of one kind were set aside that our
    /// reading is probably wrong.
    async fn check_rejections(&self, landed: &Landed) -> Result<(), Failure> {
        if landed.rejected == 0 {
            return Ok(());
        }
        for tally in self.landing.rejection_tally(self.lease).await? {
            if self.rejection_limit.exceeded(tally.count, tally.seen) {
                return Err(Failure::TooManyRejections {
                    resource: tally.resource.as_str(),
                    code: tally.code.as_str(),
                    count: tally.count,
                    seen: tally.seen,
                });
            }
        }
        Ok(())
    }
}

/// Waits for one fetch and takes along whatever else is there already, up to
/// `most`. Fetches are tasks of their own, so they go on while a batch is landed.
async fn next_batch<T: 'static>(
    fetches: &mut JoinSet<Result<T, Failure>>,
    most: usize,
) -> Result<Vec<T>, Failure> {
    let mut batch = Vec::new();
    if let Some(first) = fetches.join_next().await {
        batch.push(joined(first)?);
    }
    while batch.len() < most
        && let Some(next) = fetches.try_join_next()
    {
        batch.push(joined(next)?);
    }
    Ok(batch)
}

fn joined<T>(result: Result<Result<T, Failure>, JoinError>) -> Result<T, Failure> {
    result.unwrap_or_else(|error| {
        Err(Failure::Bug {
            what: format!("a fetch ended abnormally: {error}"),
        })
    })
}
