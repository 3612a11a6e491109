//! A batch before it meets the database: split into records and rejections, one of
//! each id, sorted by id.

use std::collections::BTreeMap;

use domain::order::Version;
use domain::rejection::Rejection;
use importer::ports::landing::WalkedPage;
use importer::ports::platform::Decoded;

use crate::failure::Trouble;
use crate::landing::raw::Press;
use crate::landing::rejections::{Origin, Rejected};
use crate::landing::sources::Incoming;

/// The understood records of one kind on some pages, and what was rejected there.
pub(crate) struct Sorted<'a, T> {
    pub(crate) records: Vec<Found<'a, T>>,
    pub(crate) rejected: Vec<Rejected<'a>>,
}

/// A record with the text and the version it came with.
pub(crate) struct Found<'a, T> {
    pub(crate) id: i64,
    pub(crate) version: Version,
    pub(crate) raw: &'a str,
    pub(crate) record: &'a T,
}

impl<'a, T> Sorted<'a, T> {
    /// Pages overlap, so an id may come twice: the newest version stays, of equal
    /// ones the last. A statement could not write the same row twice. Sorting by id
    /// makes parallel batches take their locks in the same order.
    pub(crate) fn of(
        pages: &[(&'a WalkedPage, &'a [Decoded<T>])],
        kind: &'static str,
        id: fn(&T) -> i64,
    ) -> Self {
        let mut newest: BTreeMap<i64, Found<'a, T>> = BTreeMap::new();
        let mut rejected = Vec::new();
        for (page, records) in pages {
            let version = page.version;
            for decoded in *records {
                match &decoded.outcome {
                    Ok(record) => {
                        let found = Found {
                            id: id(record),
                            version,
                            raw: &decoded.raw,
                            record,
                        };
                        keep_newest(&mut newest, found);
                    }
                    Err(rejection) => {
                        rejected.push(rejected_on(page, kind, rejection, &decoded.raw));
                    }
                }
            }
        }
        Self {
            records: newest.into_values().collect(),
            rejected,
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
        origin: (page.walk > 0).then_some(Origin {
            window: page.window,
            page: page.page,
        }),
    }
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
