//! Kept texts that are read again.

use std::sync::Mutex;

use domain::failure::Failure;
use domain::order::{Order, OrderItem};
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use importer::ports::landing::DetailOutcome;
use importer::ports::platform::{Decoded, Records};
use importer::ports::records::{RejectionFilter, RemapCounts, ReplayCounts, Translator};
use importer::ports::runs::Runs;
use importer::reprocess::{ReprocessResult, Reprocessor, remap, replay};

use crate::make::{at, customer, header, ok, rejected, whole};
use crate::shop::{Shop, orders};

/// Reads a text as the record that a test has prepared for it, else refuses it for
/// another reason than `rejected` does.
#[derive(Default)]
pub(crate) struct Prepared {
    orders: Mutex<Vec<(String, Order)>>,
}

impl Prepared {
    pub(crate) fn reads(self, raw: &str, order: Order) -> Self {
        self.orders.lock().unwrap().push((raw.to_owned(), order));
        self
    }

    fn find(&self, raw: &str) -> Result<Order, Rejection> {
        let orders = self.orders.lock().unwrap();
        let found = orders.iter().find(|(text, _)| text == raw);
        found.map(|(_, order)| order.clone()).ok_or_else(refusal)
    }
}

fn refusal() -> Rejection {
    Rejection {
        code: RejectionCode::InvalidDate,
        path: "$.date".to_owned(),
        message: "the date does not exist".to_owned(),
        salla_id: None,
    }
}

impl Translator for Prepared {
    fn list_row(&self, resource: Resource, raw: &str) -> Records {
        match resource {
            Resource::Customers => Records::Customers(vec![Decoded {
                raw: raw.into(),
                outcome: Ok(customer(9)),
            }]),
            _ => Records::Orders(vec![self.order(raw)]),
        }
    }

    fn order(&self, raw: &str) -> Decoded<Order> {
        Decoded {
            raw: raw.into(),
            outcome: self.find(raw),
        }
    }

    fn order_items(&self, raw: &str) -> Decoded<Vec<OrderItem>> {
        Decoded {
            raw: raw.into(),
            outcome: match raw {
                "" => Err(refusal()),
                _ => Ok(vec![]),
            },
        }
    }
}

async fn replay_all(shop: &Shop, translator: &Prepared) -> ReprocessResult<ReplayCounts> {
    let records = shop.db.database().records();
    let repair = Reprocessor {
        records: &records,
        translator,
        progress: &|_, _| {},
    };
    let choice = RejectionFilter::default();
    replay(repair, shop.merchant, choice).await.unwrap()
}

async fn remap_orders(shop: &Shop, translator: &Prepared) -> ReprocessResult<RemapCounts> {
    let records = shop.db.database().records();
    let repair = Reprocessor {
        records: &records,
        translator,
        progress: &|_, _| {},
    };
    remap(repair, shop.merchant, &[Resource::Orders])
        .await
        .unwrap()
}

pub(crate) async fn let_go(shop: &Shop) {
    shop.runs
        .fail(shop.lease, &Failure::Stopped, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_rejection_that_is_understood_now_loads_under_its_own_version() {
    let shop = Shop::open().await;
    let records = vec![
        rejected(Some(1), "one"),
        rejected(None, "two"),
        rejected(Some(3), "three"),
    ];
    shop.land(4, at(10), orders(records)).await;
    let_go(&shop).await;
    let translator = Prepared::default()
        .reads("one", whole(1))
        .reads("two", header(2));
    let replayed = replay_all(&shop, &translator).await;
    let counts = ReplayCounts {
        loaded: 2,
        refused: 1,
        reason_changed: 1,
        incomplete: 0,
        lack_details: 1,
    };
    assert_eq!(replayed.counts, counts);
    let open: Vec<(i64, String, i32)> = shop
        .all("SELECT salla_id, code, page FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!(open, [(3, "invalid_date".to_owned(), 4)]);
    let (version,): (bool,) = shop
        .one("SELECT detail_version = '2025-06-15T09:00:10Z' FROM salla_sync.source_records WHERE salla_id = 1")
        .await;
    assert!(version, "the version is that of the answer");
    let (counted, set_aside): (i64, i64) = shop
        .one("SELECT orders, rejected FROM salla_sync.merchant_sync_status")
        .await;
    assert_eq!(
        (counted, set_aside),
        (2, 1),
        "they count for the run that met them"
    );
    let again = replay_all(&shop, &translator).await;
    assert_eq!((again.counts.loaded, again.counts.refused), (0, 1));
    assert_eq!(again.counts.reason_changed, 0);
}

#[tokio::test]
async fn a_replayed_record_does_not_overwrite_a_newer_one() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let bad = DetailOutcome::Found {
        order: Box::new(rejected(Some(1), "old")),
        items: None,
    };
    shop.land_outcome(1, at(10), bad).await;
    shop.land_orders(2, at(20), &[header(1)]).await;
    let_go(&shop).await;
    let mut old = whole(1);
    old.payment_method = Some("older".to_owned());
    old.source = Some("detail".to_owned());
    let replayed = replay_all(&shop, &Prepared::default().reads("old", old)).await;
    assert_eq!(replayed.counts.loaded, 1);
    let (method, source): (String, String) = shop
        .one("SELECT payment_method, source FROM salla.orders")
        .await;
    assert_eq!(
        method, "mada",
        "the newer header has the last word on what it tells"
    );
    assert_eq!(source, "store", "what it does not tell is kept from before");
}

/// An order that was understood, with items that were not.
async fn replay_half_an_order(
    shop: &Shop,
    items: Decoded<Vec<OrderItem>>,
) -> ReprocessResult<ReplayCounts> {
    let half = DetailOutcome::Found {
        order: Box::new(ok(whole(1))),
        items: Some(items),
    };
    shop.land_outcome(1, at(0), half).await;
    let_go(shop).await;
    replay_all(shop, &Prepared::default()).await
}

#[tokio::test]
async fn half_an_order_stays_set_aside() {
    let shop = Shop::open().await;
    let items: Decoded<Vec<OrderItem>> = rejected(None, "[1]");
    let replayed = replay_half_an_order(&shop, items).await;
    assert_eq!(replayed.counts.incomplete, 1);
    let (open,): (i64,) = shop
        .one("SELECT count(*) FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!(open, 1, "the next import asks for the order again");
}

/// Salla gave none, so there is no text to read again and no other reason to find.
#[tokio::test]
async fn items_that_were_missing_are_still_missing() {
    let shop = Shop::open().await;
    let mut items: Decoded<Vec<OrderItem>> = rejected(None, "");
    items.outcome = Err(Rejection {
        code: RejectionCode::MissingItems,
        ..refusal()
    });
    let replayed = replay_half_an_order(&shop, items).await;
    let counts = ReplayCounts {
        incomplete: 1,
        ..ReplayCounts::default()
    };
    assert_eq!(replayed.counts, counts);
    let (code,): (String,) = shop
        .one("SELECT code FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!(code, "missing_items");
}

#[tokio::test]
async fn while_a_run_is_held_nothing_is_written() {
    let shop = Shop::open().await;
    shop.land(1, at(0), orders(vec![rejected(Some(1), "one")]))
        .await;
    let translator = Prepared::default().reads("one", whole(1));
    let refused = replay_all(&shop, &translator).await;
    assert_eq!(refused.held_by.unwrap().owner, "worker 1");
    assert_eq!(shop.rows("salla.orders").await, 0);
    let_go(&shop).await;
    let done = replay_all(&shop, &translator).await;
    assert_eq!((done.held_by, done.counts.loaded), (None, 1));
}

#[tokio::test]
async fn kept_texts_that_are_read_otherwise_change_rows_and_nothing_else() {
    let mut shop = Shop::open().await;
    let (first, second, listed) = (ok(whole(1)), ok(whole(2)), ok(header(3)));
    let raws = [
        first.raw.to_string(),
        second.raw.to_string(),
        listed.raw.to_string(),
    ];
    shop.land(1, at(0), orders(vec![first, second, listed]))
        .await;
    shop.again().await;
    let_go(&shop).await;
    let versions = "SELECT salla_id, list_version::text, list_since::text, list_hash, \
                    detail_version::text, detail_hash, list_run, detail_run, list_raw, detail_raw \
                    FROM salla_sync.source_records ORDER BY salla_id";
    type Row = (
        i64,
        Option<String>,
        Option<String>,
        Option<Vec<u8>>,
        Option<String>,
        Option<Vec<u8>>,
        Option<i64>,
        Option<i64>,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
    );
    let before: Vec<Row> = shop.all(versions).await;
    let mut other = whole(2);
    other.items.as_mut().unwrap()[0].sku = Some("read otherwise".to_owned());
    let mut otherwise = header(3);
    otherwise.payment_method = Some("read otherwise".to_owned());
    let translator = Prepared::default()
        .reads(&raws[0], whole(1))
        .reads(&raws[1], other)
        .reads(&raws[2], otherwise);
    let remapped = remap_orders(&shop, &translator).await;
    let counts = RemapCounts {
        read: 3,
        changed: 2,
        refused: 0,
    };
    assert_eq!(remapped.counts, counts);
    let (sku,): (String,) = shop
        .one("SELECT sku FROM salla.order_items WHERE order_id = 2 AND position = 1")
        .await;
    assert_eq!(sku, "read otherwise");
    let after: Vec<Row> = shop.all(versions).await;
    assert_eq!(before, after, "versions, runs and texts stay");
    let again = remap_orders(&shop, &translator).await;
    assert_eq!(
        again.counts,
        RemapCounts {
            changed: 0,
            ..counts
        }
    );
    let (orders,): (i64,) = shop
        .one("SELECT sum(orders)::bigint FROM salla_sync.sync_runs")
        .await;
    assert_eq!(orders, 3, "nothing is counted twice");
}

#[tokio::test]
async fn a_raised_reading_does_not_send_the_details_to_be_fetched_again() {
    let shop = Shop::open().await;
    let listed = ok(header(1));
    let raw = listed.raw.to_string();
    let detail = ok(whole(1));
    let detail_raw = detail.raw.to_string();
    shop.land(1, at(0), orders(vec![listed.clone()])).await;
    let order = Box::new(detail);
    shop.land_outcome(1, at(10), DetailOutcome::Found { order, items: None })
        .await;
    shop.land(2, at(20), orders(vec![listed])).await;
    let_go(&shop).await;
    // As an older version of the program left them.
    shop.execute("UPDATE salla_sync.source_records SET list_hash = 'x', detail_hash = 'x'")
        .await;
    let translator = Prepared::default()
        .reads(&raw, header(1))
        .reads(&detail_raw, whole(1));
    remap_orders(&shop, &translator).await;
    assert_eq!(shop.rows("salla_sync.pending_details").await, 0);
    let (adopted,): (bool,) = shop
        .one("SELECT list_hash <> 'x' AND detail_hash <> 'x' FROM salla_sync.source_records")
        .await;
    assert!(adopted);
}

#[tokio::test]
async fn what_is_no_longer_understood_is_set_aside_and_keeps_its_row() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let_go(&shop).await;
    let remapped = remap_orders(&shop, &Prepared::default()).await;
    assert_eq!(
        remapped.counts,
        RemapCounts {
            read: 1,
            changed: 0,
            refused: 1
        }
    );
    assert_eq!(shop.rows("salla.orders").await, 1);
    let (kind, id): (String, i64) = shop
        .one("SELECT kind, salla_id FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!((kind.as_str(), id), ("order_detail", 1));
}

#[tokio::test]
async fn a_header_that_was_only_listed_again_stays_below_the_details() {
    let shop = Shop::open().await;
    let listed = ok(header(1));
    let mut told = whole(1);
    told.payment_method = Some("told by the detail".to_owned());
    let detail = ok(told.clone());
    let raws = [listed.raw.to_string(), detail.raw.to_string()];
    shop.land(1, at(0), orders(vec![listed.clone()])).await;
    let order = Box::new(detail);
    shop.land_outcome(1, at(10), DetailOutcome::Found { order, items: None })
        .await;
    shop.land(2, at(20), orders(vec![listed])).await;
    let_go(&shop).await;
    let translator = Prepared::default()
        .reads(&raws[0], header(1))
        .reads(&raws[1], told);
    let remapped = remap_orders(&shop, &translator).await;
    assert_eq!(remapped.counts.changed, 0);
    let (method,): (String,) = shop.one("SELECT payment_method FROM salla.orders").await;
    assert_eq!(method, "told by the detail");
}
