//! Reading kept raw texts again after the translation has been put right, without a
//! single request.
//!
//! [`replay`] reads rejected records, [`remap`] all records whose raw text is stored. Both work in
//! batches; each batch takes turns with the imports.

use domain::failure::Failure;
use domain::order::Completeness;
use domain::resource::Resource;
use domain::shop::MerchantId;

use crate::ports::records::{
    Exclusive, RawSource, RejectionFilter, RemapCounts, ReplayCounts, Reprocessed,
    ReprocessedDetail, ReprocessedRecord, StoredRecord, StoredRecords, StoredRejection, Translator,
};
use crate::ports::runs::LeaseHolder;

/// Records of one transaction: few enough for an import not to wait noticeably.
const BATCH: u32 = 200;

/// What both works need.
#[derive(Clone, Copy)]
pub struct Reprocessor<'a> {
    pub records: &'a dyn StoredRecords,
    pub translator: &'a dyn Translator,
    /// Called after each batch: records done, and of how many.
    pub progress: &'a (dyn Fn(u64, u64) + Send + Sync),
}

/// How far a repair came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReprocessResult<T> {
    pub counts: T,
    /// The run that held the shop and ended the work early.
    pub held_by: Option<LeaseHolder>,
}

/// Reads the chosen rejections again.
pub async fn replay(
    repair: Reprocessor<'_>,
    merchant: MerchantId,
    choice: RejectionFilter,
) -> Result<ReprocessResult<ReplayCounts>, Failure> {
    let records = repair.records;
    let total = records.count_rejections(merchant, choice).await?;
    let mut counts = ReplayCounts::default();
    let (mut after, mut done) = (0, 0);
    loop {
        let batch = records.rejections(merchant, choice, after, BATCH).await?;
        let Some(last) = batch.last() else {
            return Ok(ReprocessResult::complete(counts));
        };
        after = last.number;
        done += batch.len() as u64;
        let reread = batch.into_iter().map(|kept| {
            let now = read_rejection(repair.translator, &kept);
            (kept, now)
        });
        match records.land_rejections(merchant, reread.collect()).await? {
            Exclusive::Done(batch) => counts.add(&batch),
            Exclusive::RunActive(holder) => {
                return Ok(ReprocessResult::interrupted(counts, holder));
            }
        }
        (repair.progress)(done, total);
    }
}

/// A detail is landed only with its items: as long as half of an order is missing it stays
/// rejected, and the next run fetches it again. Without a text there is nothing to read: Salla gave
/// no items at all, or the database refused what no text is about.
fn read_rejection(translator: &dyn Translator, kept: &StoredRejection) -> Reprocessed {
    if kept.raw.is_empty() {
        return Reprocessed::Incomplete;
    }
    match kept.source {
        RawSource::ListRow(resource) => {
            let row = translator.list_row(resource, &kept.raw);
            match row.first_rejection() {
                Some(rejection) => Reprocessed::Refused(rejection.clone()),
                None => Reprocessed::Row(row),
            }
        }
        RawSource::OrderDetail => {
            let order = translator.order(&kept.raw);
            match &order.outcome {
                Err(rejection) => Reprocessed::Refused(rejection.clone()),
                Ok(read) if read.completeness() == Completeness::Full => {
                    Reprocessed::Detail(Box::new(order))
                }
                Ok(_) => Reprocessed::Incomplete,
            }
        }
        RawSource::OrderItems => match translator.order_items(&kept.raw).outcome {
            Ok(_) => Reprocessed::Incomplete,
            Err(rejection) => Reprocessed::Refused(rejection),
        },
    }
}

/// Reads every kept record of the resources again.
pub async fn remap(
    repair: Reprocessor<'_>,
    merchant: MerchantId,
    resources: &[Resource],
) -> Result<ReprocessResult<RemapCounts>, Failure> {
    let mut total = 0;
    for resource in resources {
        total += repair.records.count_stored(merchant, *resource).await?;
    }
    let mut counts = RemapCounts::default();
    for resource in resources {
        let held_by = remap_resource(repair, merchant, *resource, &mut counts, total).await?;
        if let Some(holder) = held_by {
            return Ok(ReprocessResult::interrupted(counts, holder));
        }
    }
    Ok(ReprocessResult::complete(counts))
}

async fn remap_resource(
    repair: Reprocessor<'_>,
    merchant: MerchantId,
    resource: Resource,
    counts: &mut RemapCounts,
    total: u64,
) -> Result<Option<LeaseHolder>, Failure> {
    let mut after = i64::MIN;
    loop {
        let batch = repair.records.stored(merchant, resource, after, BATCH);
        let batch = batch.await?;
        let Some(last) = batch.last() else {
            return Ok(None);
        };
        after = last.salla_id;
        let reread = batch
            .into_iter()
            .map(|kept| read_record(repair.translator, resource, kept));
        let landing = repair
            .records
            .land_reprocessed(merchant, resource, reread.collect());
        match landing.await? {
            Exclusive::Done(batch) => counts.add(&batch),
            Exclusive::RunActive(holder) => return Ok(Some(holder)),
        }
        (repair.progress)(counts.read, total);
    }
}

fn read_record(
    translator: &dyn Translator,
    resource: Resource,
    kept: StoredRecord,
) -> ReprocessedRecord {
    let listed = kept.listed.as_ref();
    let detail = kept.detail.as_ref();
    ReprocessedRecord {
        listed: listed.map(|text| translator.list_row(resource, &text.raw)),
        detail: detail.map(|text| ReprocessedDetail {
            order: Box::new(translator.order(&text.raw)),
            items: kept.items.as_ref().map(|raw| translator.order_items(raw)),
        }),
        kept,
    }
}

impl<T> ReprocessResult<T> {
    fn complete(counts: T) -> Self {
        Self {
            counts,
            held_by: None,
        }
    }

    fn interrupted(counts: T, holder: LeaseHolder) -> Self {
        Self {
            counts,
            held_by: Some(holder),
        }
    }
}

impl ReplayCounts {
    fn add(&mut self, batch: &Self) {
        self.loaded += batch.loaded;
        self.refused += batch.refused;
        self.reason_changed += batch.reason_changed;
        self.incomplete += batch.incomplete;
        self.lack_details += batch.lack_details;
    }
}

impl RemapCounts {
    fn add(&mut self, batch: &Self) {
        self.read += batch.read;
        self.changed += batch.changed;
        self.refused += batch.refused;
    }
}
