//! Times that lie in the future: a clock was ahead when they were written.

use std::time::Duration;

use domain::failure::Failure;
use domain::order::{Order, Version};
use domain::resource::Resource;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::jobs::Jobs;
use importer::ports::landing::{DetailOutcome, Landing};
use importer::ports::platform::Records;
use importer::ports::queue::{Queue, QueueName};
use importer::ports::runs::Runs;
use jiff::SignedDuration;

use crate::make::{at, customer, header, item, ok, rejected, status, whole};
use crate::shop::{Shop, orders};

fn now() -> Version {
    SystemClock::real().now()
}

/// Moves everything that was read at [`at`] two days ahead of now.
async fn were_read_in_the_future(shop: &Shop) {
    let two_days = SignedDuration::from_hours(48);
    let by = (now() + two_days).duration_since(at(0)).as_secs();
    for sql in [
        format!(
            "UPDATE salla_sync.source_records SET
                list_version = list_version + interval '{by} seconds',
                list_since = list_since + interval '{by} seconds',
                detail_version = detail_version + interval '{by} seconds',
                gone_at = gone_at + interval '{by} seconds'"
        ),
        format!(
            "UPDATE salla_sync.rejected_records SET version = version + interval '{by} seconds'"
        ),
    ] {
        shop.execute(&sql).await;
    }
}

async fn in_the_future(shop: &Shop) -> u64 {
    let database = shop.db.database();
    let found = database.future_versions(None).await.unwrap();
    let of_merchant = database.future_versions(Some(shop.merchant)).await.unwrap();
    assert_eq!(found.records, of_merchant.records, "there is one shop");
    assert_eq!(found.merchants, u64::from(found.records > 0));
    assert!(found.records == 0 || found.ahead.as_secs() > 40 * 3_600);
    found.records
}

async fn row(shop: &Shop, id: i64) -> (String, String) {
    shop.one(&format!(
        "SELECT status_slug, xmin::text FROM salla.orders WHERE id = {id}"
    ))
    .await
}

fn edited(order: Order) -> Order {
    Order {
        status: status("under_review"),
        ..order
    }
}

#[tokio::test]
async fn what_is_read_now_takes_the_place_of_whole_orders_of_the_future() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1), whole(2)]).await;
    were_read_in_the_future(&shop).await;
    assert_eq!(in_the_future(&shop).await, 2);
    let untouched = row(&shop, 2).await;

    let landed = shop
        .land_orders(2, now(), &[edited(whole(1)), whole(2)])
        .await;
    assert_eq!((landed.loaded, landed.from_future), (2, 2));
    assert_eq!(row(&shop, 1).await.0, "under_review");
    assert_eq!(row(&shop, 2).await, untouched, "it has not changed");
    assert_eq!(in_the_future(&shop).await, 0);
    let again = shop.land_orders(3, now(), &[whole(1), whole(2)]).await;
    assert_eq!(again.from_future, 0);
    assert_eq!(row(&shop, 1).await.0, "completed");
}

/// Whichever of the two was read while the clock was ahead.
#[tokio::test]
async fn a_changed_header_has_its_details_asked_for_again() {
    for ahead in ["detail_version", "list_since", "list_version", "all"] {
        let shop = Shop::open().await;
        shop.land_orders(1, at(0), &[header(1)]).await;
        shop.land_detail(at(1), whole(1)).await;
        assert!(shop.pending().await.is_empty());
        match ahead {
            "all" => were_read_in_the_future(&shop).await,
            column => {
                shop.execute(&format!(
                    "UPDATE salla_sync.source_records SET {column} = now() + interval '3 hours'"
                ))
                .await;
            }
        }
        let landed = shop.land_orders(2, now(), &[edited(header(1))]).await;
        assert_eq!(landed.from_future, 1, "{ahead}");
        assert_eq!(row(&shop, 1).await.0, "under_review", "{ahead}");
        assert_eq!(shop.pending().await, [1], "{ahead}");

        let mut detail = edited(whole(1));
        detail.items = Some(vec![item(19)]);
        shop.land_detail(now(), detail).await;
        assert!(shop.pending().await.is_empty(), "{ahead}");
        let (items,): (i64,) = shop.one("SELECT count(*) FROM salla.order_items").await;
        assert_eq!(items, 1, "{ahead}");
        assert_eq!(in_the_future(&shop).await, 0, "{ahead}");
    }
}

#[tokio::test]
async fn a_header_that_is_the_same_has_no_details_asked_for_again() {
    for behind in ["", "list_since", "list_version"] {
        let shop = Shop::open().await;
        shop.land_orders(1, at(0), &[header(1)]).await;
        shop.land_detail(at(1), whole(1)).await;
        were_read_in_the_future(&shop).await;
        if !behind.is_empty() {
            shop.execute(&format!(
                "UPDATE salla_sync.source_records SET {behind} = now() - interval '1 day'"
            ))
            .await;
        }
        let before = row(&shop, 1).await;
        shop.land_orders(2, now(), &[header(1)]).await;
        assert!(shop.pending().await.is_empty(), "{behind}");
        assert_eq!(row(&shop, 1).await, before, "{behind}");
        assert_eq!(in_the_future(&shop).await, 0, "{behind}");
    }
}

/// It was listed otherwise after its details were fetched, both while the clock was ahead.
#[tokio::test]
async fn details_that_were_due_stay_due() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1)]).await;
    shop.land_detail(at(1), whole(1)).await;
    shop.land_orders(2, at(2), &[edited(header(1))]).await;
    assert_eq!(shop.pending().await, [1]);
    were_read_in_the_future(&shop).await;
    shop.execute("DELETE FROM salla_sync.pending_details").await;
    shop.land_orders(3, now(), &[edited(header(1))]).await;
    assert_eq!(shop.pending().await, [1]);
}

#[tokio::test]
async fn a_tombstone_of_the_future_keeps_nothing_out() {
    let shop = Shop::open().await;
    let listed = |id| Records::Customers(vec![ok(customer(id))]);
    shop.land(1, at(0), listed(1)).await;
    shop.land_orders(1, at(0), &[header(1), header(2)]).await;
    let ids = [1];
    let bury = shop
        .landing
        .tombstone(shop.lease, Resource::Customers, &ids, at(1));
    bury.await.unwrap();
    for id in [1, 2] {
        shop.land_outcome(id, at(1), DetailOutcome::Gone).await;
    }
    assert_eq!(shop.rows("salla.orders").await, 0);
    were_read_in_the_future(&shop).await;

    shop.land(2, now(), listed(1)).await;
    shop.land_orders(2, now(), &[header(1), whole(2)]).await;
    assert_eq!(shop.rows("salla.orders").await, 2);
    assert_eq!(shop.rows("salla.customers WHERE from_list").await, 1);
    assert_eq!(in_the_future(&shop).await, 0);
}

#[tokio::test]
async fn what_has_gone_goes_although_it_was_read_in_the_future() {
    let shop = Shop::open().await;
    shop.land(1, at(0), Records::Customers(vec![ok(customer(1))]))
        .await;
    shop.land_orders(1, at(0), &[header(1), whole(2)]).await;
    were_read_in_the_future(&shop).await;
    let bury = shop
        .landing
        .tombstone(shop.lease, Resource::Customers, &[1], now());
    bury.await.unwrap();
    for id in [1, 2] {
        shop.land_outcome(id, now(), DetailOutcome::Gone).await;
    }
    assert_eq!(shop.rows("salla.orders").await, 0);
    assert_eq!(shop.rows("salla.customers WHERE from_list").await, 0);
    assert_eq!(in_the_future(&shop).await, 0);
}

#[tokio::test]
async fn a_rejection_of_the_future_is_resolved_and_replaced() {
    let shop = Shop::open().await;
    let bad = |id, text| orders(vec![rejected(Some(id), text)]);
    shop.land(1, at(0), bad(1, "{\"id\":1}")).await;
    shop.land(2, at(0), bad(2, "{\"id\":2}")).await;
    were_read_in_the_future(&shop).await;
    shop.land_orders(3, now(), &[whole(1)]).await;
    shop.land(4, now(), bad(2, "{\"id\":2,\"other\":true}"))
        .await;
    let open: Vec<(i64, String)> = shop
        .all("SELECT salla_id, raw FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!(open, [(2, "{\"id\":2,\"other\":true}".to_owned())]);
    assert_eq!(in_the_future(&shop).await, 0);
}

/// What was read in the future does not prove that the record has been understood since.
#[tokio::test]
async fn a_record_that_cannot_be_read_now_is_an_open_rejection() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1), whole(2)]).await;
    were_read_in_the_future(&shop).await;
    for id in [1, 2] {
        let record = orders(vec![rejected(Some(id), "{}")]);
        shop.land(2 + id as u32, now(), record).await;
    }
    let (open,): (i64,) = shop
        .one("SELECT count(*) FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!(open, 2);
}

/// The clock of another process may be a little ahead.
#[tokio::test]
async fn a_version_of_a_moment_ahead_is_newer() {
    let shop = Shop::open().await;
    let soon = now() + SignedDuration::from_secs(20);
    shop.land_orders(1, soon, &[edited(whole(1))]).await;
    let landed = shop.land_orders(2, now(), &[whole(1)]).await;
    assert_eq!(landed.from_future, 0);
    assert_eq!(row(&shop, 1).await.0, "under_review");
    assert_eq!(in_the_future(&shop).await, 0);
}

/// As where kept records are read again, or while a clock is still ahead.
#[tokio::test]
async fn what_comes_from_the_future_itself_replaces_nothing_newer() {
    let shop = Shop::open().await;
    let hours = |hours| now() + SignedDuration::from_hours(hours);
    shop.land_orders(1, hours(5), &[edited(whole(1))]).await;
    shop.land_orders(2, hours(4), &[whole(1)]).await;
    assert_eq!(row(&shop, 1).await.0, "under_review");
    shop.land_orders(3, hours(6), &[whole(1)]).await;
    assert_eq!(row(&shop, 1).await.0, "completed");
}

#[tokio::test]
async fn a_lease_of_the_future_has_run_out() {
    let shop = Shop::open().await;
    for (lasts, is_held) in [("10 minutes", true), ("3 hours", false), ("2 days", false)] {
        shop.execute(&format!(
            "UPDATE salla_sync.sync_runs SET lease_until = now() + interval '{lasts}'"
        ))
        .await;
        let run = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
        assert_eq!(run.holder.is_some(), is_held, "{lasts}");
    }
    let taken = crate::shop::claim(&shop.runs, shop.lease.run, "another").await;
    assert_eq!(taken.fencing_token, shop.lease.fencing_token + 1);
}

/// A message that was put off, the run that waits with it, and one whose worker died.
#[tokio::test]
async fn what_was_put_off_by_a_clock_that_was_ahead_is_due() {
    let shop = Shop::open().await;
    let database = shop.db.database();
    let (jobs, queue) = (database.jobs(), database.queue(QueueName::HistoricalSync));
    let grace = Duration::from_secs(30);
    jobs.adopt(shop.lease.run).await.unwrap();
    let failure = Failure::Throttled {
        wait: Duration::from_secs(60),
    };
    let two_days = now() + SignedDuration::from_hours(48);
    shop.runs
        .wait(shop.lease, two_days, &failure)
        .await
        .unwrap();
    let body = format!("{{\"run\":\"{}\"}}", shop.lease.run);
    queue
        .send(&body, Duration::from_secs(48 * 3_600))
        .await
        .unwrap();
    queue
        .send("{}", Duration::from_secs(24 * 3_600))
        .await
        .unwrap();
    let is_due = async || {
        let depth = queue.depth().await.unwrap();
        (depth.ready, depth.delayed)
    };
    assert_eq!(is_due().await, (0, 2));
    assert_eq!(jobs.resend_orphans(grace).await.unwrap().len(), 0);
    assert_eq!(is_due().await, (1, 1), "a day is what Salla may ask for");
    let run = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    assert!(run.waiting_until.unwrap() <= now());

    shop.execute("DELETE FROM salla_sync.queue_messages").await;
    shop.execute(
        "UPDATE salla_sync.sync_runs SET state = 'IN_PROGRESS', waiting_until = NULL,
             lease_until = now() + interval '2 days', sent_at = now() + interval '2 days'",
    )
    .await;
    assert_eq!(jobs.resend_orphans(grace).await.unwrap().len(), 1);
}
