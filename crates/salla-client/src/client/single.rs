//! Requests for one record end in an outcome of that record: it is there, gone, or rejected with
//! the reason. Only an outage ends them in a failure, so that one record cannot stop a shop.

use domain::failure::Failure;
use domain::order::{OrderItem, Version};
use domain::rejection::{Rejection, RejectionCode};
use importer::admission::FetchPermit;
use importer::ports::platform::VersionedRecord;
use serde_json::value::RawValue;

use super::{SallaClient, requests};
use crate::classify::looks_like_json;
use crate::envelope::{split_one, split_one_page};
use crate::request::{ApiRequest, Requester, store_info};
use crate::retry::RetryPolicy;
use crate::translate::{self, Dated, ItemPage};

type Answer<T> = Result<Option<VersionedRecord<T>>, Failure>;

/// A request for one record, as far as it is needed to reject the record.
#[derive(Clone, Copy)]
struct Wanted {
    id: i64,
    /// Why it is rejected if Salla does not serve it.
    code: RejectionCode,
    requested_at: Version,
}

impl SallaClient {
    /// The record of this id. Another one in its place is rejected: it says nothing about this.
    pub(super) async fn by_id<T: Dated>(
        &self,
        request: &ApiRequest,
        id: i64,
        permit: &mut FetchPermit,
        translate: fn(&RawValue) -> Result<T, Rejection>,
        id_of: fn(&T) -> i64,
    ) -> Answer<T> {
        let answer = self.one(request, id, permit, translate).await?;
        Ok(answer.map(|mut answer| {
            match &mut answer.record.outcome {
                Ok(record) if id_of(record) != id => {
                    answer.record.outcome = Err(translate::another(id));
                }
                Ok(_) => {}
                Err(rejection) => rejection.salla_id = Some(id),
            }
            answer
        }))
    }

    pub(super) async fn one<T: Dated>(
        &self,
        request: &ApiRequest,
        id: i64,
        permit: &mut FetchPermit,
        translate: fn(&RawValue) -> Result<T, Rejection>,
    ) -> Answer<T> {
        let wanted = self.wanted(id, RejectionCode::NotServed);
        let answer = one_by(&self.requester, request, permit, translate).await;
        let answer = match answer {
            Err(failure) if may_be_of_the_record(&failure) => {
                // Boxed: it is rare, and every request would reserve space for it.
                let checked = Box::pin(async move {
                    let Some(once) = self.unless_out(permit).await else {
                        return Err(failure);
                    };
                    let again = one_by(&once, request, permit, translate).await;
                    or_not_served(again, wanted, &failure)
                });
                checked.await
            }
            answer => answer,
        };
        or_too_large(answer, wanted)
    }

    pub(super) async fn items(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Answer<Vec<OrderItem>> {
        let wanted = self.wanted(order_id, RejectionCode::MissingItems);
        let answer = items_by(&self.requester, order_id, permit).await;
        let answer = match answer {
            Err(failure) if may_be_of_the_record(&failure) => {
                let checked = Box::pin(async move {
                    let Some(once) = self.unless_out(permit).await else {
                        return Err(failure);
                    };
                    let again = items_by(&once, order_id, permit).await;
                    or_not_served(again, wanted, &failure)
                });
                checked.await
            }
            answer => answer,
        };
        or_too_large(answer, wanted)
    }

    fn wanted(&self, id: i64, code: RejectionCode) -> Wanted {
        let requested_at = self.requester.clock.now();
        Wanted {
            id,
            code,
            requested_at,
        }
    }

    /// What to ask for the record once more with, if Salla serves something else now. That the
    /// outage was over just after the last try would else be taken for the record's fault.
    async fn unless_out(&self, permit: &mut FetchPermit) -> Option<Requester> {
        let once = Requester {
            retry: RetryPolicy {
                attempts: 1,
                ..self.requester.retry
            },
            ..self.requester.at(self.requester.api_url.clone())
        };
        let read = |body: &[u8]| split_one(body).map(drop);
        let shop = once.get(&store_info(), permit, read).await;
        matches!(shop, Ok(Some(_))).then_some(once)
    }
}

/// Whether it may be this record alone that cannot be had.
fn may_be_of_the_record(failure: &Failure) -> bool {
    use Failure::{Broken, NotJson, Transient};
    matches!(failure, Transient { .. } | Broken { .. } | NotJson { .. })
}

/// `reason`: why all tries before have failed.
fn or_not_served<T>(answer: Answer<T>, wanted: Wanted, reason: &Failure) -> Answer<T> {
    match answer {
        Err(failure) if may_be_of_the_record(&failure) => {
            tracing::warn!(id = wanted.id, %reason, "a record that is not served is rejected");
            Ok(Some(VersionedRecord {
                record: translate::not_served(wanted.id, wanted.code, reason),
                version: wanted.requested_at,
            }))
        }
        answer => answer,
    }
}

/// What is longer than any response that is read is rejected, so that it cannot stop the others.
fn or_too_large<T>(answer: Answer<T>, wanted: Wanted) -> Answer<T> {
    match answer {
        Err(Failure::TooLarge { message: what }) => {
            tracing::warn!(id = wanted.id, what, "a record is rejected");
            Ok(Some(VersionedRecord {
                record: translate::too_large(wanted.id),
                version: wanted.requested_at,
            }))
        }
        answer => answer,
    }
}

/// One that is no JSON however often it is requested is rejected with its text. What does not even
/// begin like JSON was not written by Salla's API, and has no text of the record.
async fn one_by<T: Dated>(
    requester: &Requester,
    request: &ApiRequest,
    permit: &mut FetchPermit,
    translate: fn(&RawValue) -> Result<T, Rejection>,
) -> Answer<T> {
    let read = |body: &[u8]| Ok(translate::decode(split_one(body)?, translate));
    let reject = |body: &[u8]| looks_like_json(body).then(|| translate::unreadable(body));
    let fetched = requester.get_or_reject(request, permit, read, reject);
    Ok(fetched.await?.map(|fetched| VersionedRecord {
        record: translate::with_plausible_dates(fetched.value, fetched.version),
        version: fetched.version,
    }))
}

async fn items_by(
    requester: &Requester,
    order_id: i64,
    permit: &mut FetchPermit,
) -> Answer<Vec<OrderItem>> {
    let mut pages = Vec::new();
    let mut version = None;
    loop {
        let request = requests::order_items(order_id, pages.len() + 1);
        let read = |body: &[u8]| split_one_page(body).map(ItemPage::new);
        let Some(fetched) = requester.get(&request, permit, read).await? else {
            return Ok(None);
        };
        let version = *version.get_or_insert(fetched.version);
        let page = fetched.value;
        let is_last = !page.has_rows() || page.pagination.total_pages as usize <= pages.len() + 1;
        pages.push(page);
        if is_last {
            let record = translate::items_of_pages(&pages);
            return Ok(Some(VersionedRecord { record, version }));
        }
    }
}
