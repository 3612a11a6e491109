//! Fetches records that a webhook says are other ones now, soon after it came.
//!
//! A run fetches changed orders anyway, so this is for the time between runs. It needs no run: one
//! request for each record is enough, and a certificate would add nothing. Landing takes turns with
//! imports, as everything does that writes beside them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::resource::Resource;
use domain::shop::MerchantId;
use futures::StreamExt as _;
use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::admission::FetchPermit;
use crate::duties::Duty;
use crate::import::details;
use crate::ports::changed_records::{ChangedRecord, ChangedRecords, RecordNow};
use crate::ports::clock::{Clock, with_timeout};
use crate::ports::landing::DetailOutcome;
use crate::ports::platform::Platform;
use crate::ports::platform::Shops;
use crate::ports::records::Exclusive;
use crate::ports::runs::Runs;
use crate::stop::StopSignal;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3);
/// A merchant who edits an order causes several webhooks; together they cost one request.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);
/// How long until another worker takes the shop of a worker that died.
const EXCLUSIVE_FOR: Duration = Duration::from_secs(300);
/// Less, so that no other worker takes the shop meanwhile.
const MAX_EXCLUSIVE: Duration = Duration::from_secs(240);
const SHOPS_AT_ONCE: u32 = 16;
/// They land together. Few, because a run of the shop that begins meanwhile makes vain what was
/// fetched.
const BATCH: u32 = 20;
/// The rest of a shop's budget is for others.
const IN_FLIGHT: usize = 4;

pub struct FetchChanged {
    pub records: Arc<dyn ChangedRecords>,
    pub shops: Arc<dyn Shops>,
    pub runs: Arc<dyn Runs>,
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Duty for FetchChanged {
    fn name(&self) -> &'static str {
        "fetching changed records"
    }

    fn pause(&self) -> Duration {
        EVERY
    }

    /// For all shops that have waited long enough. One that fails holds up no other.
    async fn round(&self, stop: &StopSignal) -> Result<(), Failure> {
        let shops = self.records.take(EXCLUSIVE_FOR, SHOPS_AT_ONCE).await?;
        let turns = shops
            .into_iter()
            .map(|merchant| self.take_turn(merchant, stop));
        futures::future::join_all(turns).await;
        Ok(())
    }
}

impl FetchChanged {
    async fn take_turn(&self, merchant: MerchantId, stop: &StopSignal) {
        let fetching = with_timeout(&*self.clock, MAX_EXCLUSIVE, self.fetch(merchant));
        let fetched = tokio::select! {
            biased;
            fetched = fetching => fetched,
            () = stop.requested() => Some(Ok(())),
        };
        let pause = match fetched {
            Some(Ok(())) => PAUSE,
            Some(Err(failure)) => {
                tracing::warn!(%failure, merchant_id = %merchant, "changed records could not be fetched; they wait");
                PAUSE_AFTER_FAILURE
            }
            None => {
                tracing::warn!(merchant_id = %merchant, "changed records took too long to fetch; the rest waits");
                PAUSE_AFTER_FAILURE
            }
        };
        if let Err(failure) = self.records.release(merchant, pause).await {
            tracing::warn!(%failure, merchant_id = %merchant, "the shop's changed records wait \
                 until its hold expires");
        }
    }

    async fn fetch(&self, merchant: MerchantId) -> Result<(), Failure> {
        let Some(finished) = self.runs.latest_finished(merchant).await? else {
            return Ok(());
        };
        let mut marked = self.records.list(merchant, BATCH).await?;
        if marked.is_empty() {
            return Ok(());
        }
        let open = self.shops.open(merchant).await?;
        loop {
            let is_last = marked.len() < BATCH as usize;
            let requests = marked
                .into_iter()
                .map(|mark| self.now(&*open.platform, mark, finished.covers.from));
            let answers = futures::stream::iter(requests).buffer_unordered(IN_FLIGHT);
            let (mut fetched, mut failed) = (Vec::new(), None);
            for answer in answers.collect::<Vec<_>>().await {
                match answer {
                    Ok(record) => fetched.push(record),
                    Err(failure) => failed = failed.or(Some(failure)),
                }
            }
            match self.records.land(merchant, &fetched).await? {
                Exclusive::Done(()) => {
                    tracing::info!(merchant_id = %merchant, records = fetched.len(), "changed records landed");
                }
                Exclusive::RunActive(_) => return Ok(()),
            }
            if let Some(failure) = failed {
                return Err(failure);
            }
            if is_last {
                return Ok(());
            }
            marked = self.records.list(merchant, BATCH).await?;
        }
    }

    async fn now(
        &self,
        platform: &dyn Platform,
        mark: ChangedRecord,
        covered_from: Date,
    ) -> Result<(ChangedRecord, RecordNow), Failure> {
        let mut permit = FetchPermit::default();
        let now = match mark.resource {
            Resource::Orders => {
                let fetched = details::fetch(platform, &*self.clock, mark.id, &mut permit).await?;
                match is_older(&fetched.detail.outcome, covered_from) {
                    true => RecordNow::OutOfRange,
                    false => RecordNow::Order(Box::new(fetched.detail)),
                }
            }
            Resource::Customers
            | Resource::Products
            | Resource::Categories
            | Resource::OrderStatuses => {
                let asked_at = self.clock.now();
                match platform.record(mark.resource, mark.id, &mut permit).await? {
                    Some((row, version)) => RecordNow::Row(row, version),
                    None => RecordNow::Gone(asked_at),
                }
            }
        };
        Ok((mark, now))
    }
}

/// The day before is no proof: Salla's dates may be hours off.
fn is_older(outcome: &DetailOutcome, covered_from: Date) -> bool {
    let DetailOutcome::Found { order, .. } = outcome else {
        return false;
    };
    let certainly = covered_from.saturating_sub(1.day());
    order
        .outcome
        .as_ref()
        .is_ok_and(|order| riyadh_date(order.created_at.instant) < certainly)
}
