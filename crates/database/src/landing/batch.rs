//! A batch before it meets the database: split into records and rejections, one of
//! each id, sorted by id.

use std::collections::BTreeMap;

use domain::failure::Failure;
use domain::order::Version;
use domain::rejection::Rejection;
use domain::resource::Resource;
use importer::ports::landing::WalkedPage;
use importer::ports::platform::{Decoded, Records};

use crate::failure::Trouble;
use crate::landing::isolation::Lands;
use crate::landing::pages::Workplace;
use crate::landing::raw::Press;
use crate::landing::rejections::{Origin, Rejected, list_kind};
use crate::landing::sources::Incoming;

/// A kind of record that lists give.
pub(crate) trait ListRecord: Sized + Sync {
    const RESOURCE: Resource;

    fn id(&self) -> i64;

    fn among(records: &Records) -> Option<&Vec<Decoded<Self>>>;

    /// Lands records of different ids, sorted by id.
    fn land(
        place: &mut Workplace<'_>,
        records: &[Found<'_, Self>],
    ) -> impl Future<Output = Result<(), Trouble>> + Send;
}

impl<T: ListRecord> Lands for Found<'_, T> {
    const IS_WHOLE: bool = true;

    async fn land(place: &mut Workplace<'_>, records: &[Self]) -> Result<(), Trouble> {
        T::land(place, records).await
    }
}

/// The understood records of one kind on some pages, and what was rejected there.
pub(crate) struct Sorted<'a, T> {
    pub(crate) records: Vec<Found<'a, T>>,
    pub(crate) rejected: Vec<Rejected<'a>>,
}

/// A record with the text and the version it came with.
pub(crate) struct Found<'a, T> {
    pub(crate) id: i64,
    pub(crate) version: Version,
    origin: Option<Origin>,
    pub(crate) raw: &'a str,
    pub(crate) record: &'a T,
}

impl<'a, T: ListRecord> Sorted<'a, T> {
    /// Pages overlap, so an id may come twice: the newest version stays, of equal
    /// ones the last. A statement could not write the same row twice. Sorting by id
    /// makes parallel batches take their locks in the same order.
    pub(crate) fn of(pages: &[&'a WalkedPage]) -> Result<Self, Failure> {
        let mut newest: BTreeMap<i64, Found<'a, T>> = BTreeMap::new();
        let mut rejected = Vec::new();
        for page in pages {
            let records = T::among(&page.records).ok_or_else(|| Failure::Bug {
                what: "pages of different resources were to land together".to_owned(),
            })?;
            for decoded in records {
                match &decoded.outcome {
                    Ok(record) => {
                        let found = Found {
                            id: record.id(),
                            version: page.version,
                            origin: origin(page),
                            raw: &decoded.raw,
                            record,
                        };
                        keep_newest(&mut newest, found);
                    }
                    Err(rejection) => {
                        let kind = list_kind(T::RESOURCE);
                        rejected.push(rejected_on(page, kind, rejection, &decoded.raw));
                    }
                }
            }
        }
        Ok(Self {
            records: newest.into_values().collect(),
            rejected,
        })
    }
}

impl<'a, T: ListRecord> Found<'a, T> {
    /// The record as one that is rejected after all.
    pub(crate) fn rejected<'r>(&'r self, rejection: &'r Rejection) -> Rejected<'r> {
        Rejected {
            kind: list_kind(T::RESOURCE),
            rejection,
            salla_id: Some(self.id),
            raw: self.raw,
            version: self.version,
            origin: self.origin,
        }
    }
}

fn keep_newest<'a, T>(newest: &mut BTreeMap<i64, Found<'a, T>>, found: Found<'a, T>) {
    let older = newest
        .get(&found.id)
        .is_some_and(|known| known.version > found.version);
    if !older {
        newest.insert(found.id, found);
    }
}

fn rejected_on<'a>(
    page: &WalkedPage,
    kind: &'static str,
    rejection: &'a Rejection,
    raw: &'a str,
) -> Rejected<'a> {
    Rejected {
        kind,
        rejection,
        salla_id: rejection.salla_id,
        raw,
        version: page.version,
        origin: origin(page),
    }
}

fn origin(page: &WalkedPage) -> Option<Origin> {
    (page.walk > 0).then_some(Origin {
        window: page.window,
        page: page.page,
    })
}

/// Records after which other tasks have their turn: a whole batch takes tens of
/// milliseconds to compress, and requests that are due would leave that much later.
const WITHOUT_A_BREAK: usize = 20;

/// Hashes and compresses what goes to the version rule.
pub(crate) async fn press<'a, T>(
    press: &mut Press,
    records: &[Found<'a, T>],
) -> Result<Vec<Incoming<&'a T>>, Trouble> {
    let mut pressed = Vec::with_capacity(records.len());
    for (number, found) in records.iter().enumerate() {
        if number % WITHOUT_A_BREAK == WITHOUT_A_BREAK - 1 {
            tokio::task::yield_now().await;
        }
        pressed.push(Incoming {
            id: found.id,
            version: found.version,
            content: press.content(found.raw)?,
            items_raw: None,
            record: found.record,
        });
    }
    Ok(pressed)
}
