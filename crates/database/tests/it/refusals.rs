//! What the database refuses is rejected, and its neighbors land.

use domain::catalogue::Product;
use domain::customer::Customer;
use domain::failure::Failure;
use domain::order::Order;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::ports::landing::{Landed, Landing};
use importer::ports::platform::Records;
use importer::testing::clock::a_moment;

use crate::catalogue::product;
use crate::make::{at, customer, header, ok, rejected, text, whole};
use crate::shop::{Shop, orders, without_counts};

/// Texts that do not get shorter when PostgreSQL compresses them.
pub(crate) fn long_text(seed: u64) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = seed | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state % LETTERS.len() as u64) as usize])
    };
    (0..4_000).map(letter).collect()
}

pub(crate) fn customers(records: Vec<Customer>) -> Records {
    Records::Customers(records.into_iter().map(ok).collect())
}

fn products(records: Vec<Product>) -> Records {
    Records::Products(records.into_iter().map(ok).collect())
}

/// Id, path and message of the open rejections, all of them refused by the database.
pub(crate) async fn refused(shop: &Shop) -> Vec<(i64, String, String)> {
    let rows: Vec<(i64, String, String, String)> = shop
        .all(
            "SELECT salla_id, json_path, message, code FROM salla_sync.rejected_records
             WHERE resolved_at IS NULL ORDER BY resource, salla_id",
        )
        .await;
    let refused = rows.into_iter().map(|(id, path, message, code)| {
        assert_eq!(code, RejectionCode::RefusedByDatabase.as_str(), "{message}");
        (id, path, message)
    });
    refused.collect()
}

fn landed(loaded: u64, refused: u64) -> Landed {
    Landed {
        loaded,
        rejected: refused,
        refused,
        ..Landed::default()
    }
}

async fn ids(shop: &Shop, table: &str) -> Vec<i64> {
    let ids: Vec<(i64,)> = shop
        .all(&format!("SELECT id FROM {table} ORDER BY id"))
        .await;
    ids.into_iter().map(|(id,)| id).collect()
}

#[tokio::test]
async fn a_text_of_any_length_fits_our_indexes() {
    let shop = Shop::open().await;
    let mut long = product(1);
    long.sku = Some(long_text(1));
    let all = vec![long.clone(), product(2)];
    assert_eq!(shop.land(1, at(0), products(all)).await, landed(2, 0));
    let mut order = header(1);
    order.status.as_mut().unwrap().slug = Some(long_text(2));
    shop.land_orders(1, at(0), &[order, header(2)]).await;
    assert_eq!(shop.rows("salla.orders").await, 2);
    let found: Vec<(i64,)> = sqlx::query_as("SELECT id FROM salla.products WHERE sku = $1")
        .bind(long.sku)
        .fetch_all(shop.db.pool())
        .await
        .unwrap();
    assert_eq!(found, [(1,)]);
}

#[tokio::test]
async fn an_index_that_somebody_added_costs_the_record_alone() {
    let shop = Shop::open().await;
    shop.execute("CREATE INDEX by_email ON salla.customers (lower(email))")
        .await;
    let mut long = customer(3);
    long.email = Some(long_text(3));
    let all = vec![customer(1), customer(2), long, customer(4), customer(5)];
    assert_eq!(shop.land(1, at(0), customers(all)).await, landed(4, 1));
    assert_eq!(ids(&shop, "salla.customers").await, [1, 2, 4, 5]);
    let [(id, path, message)] = <[_; 1]>::try_from(refused(&shop).await).unwrap();
    assert_eq!((id, path.as_str()), (3, "customers.email"));
    assert_eq!(
        message,
        "PostgreSQL refused it (54000 a limit of PostgreSQL was exceeded), customers, by_email"
    );
    let counts = shop.count(Resource::Customers).await;
    assert_eq!((counts.loaded, counts.rejected), (4, 1));
    assert!(counts.balances());
    let (known, kept): (i64, bool) = shop
        .one(
            "SELECT count(*) FILTER (WHERE salla_id = 3),
                    (SELECT length(raw) > 4000 AND window_id IS NOT NULL
                     FROM salla_sync.rejected_records)
             FROM salla_sync.source_records",
        )
        .await;
    assert_eq!(
        (known, kept),
        (0, true),
        "as of a record that was not understood"
    );
}

#[tokio::test]
async fn two_culprits_among_many_pages_cost_themselves() {
    let shop = Shop::open().await;
    shop.execute("ALTER TABLE salla.customers ADD CHECK (city <> 'nowhere')")
        .await;
    let mut pages = Vec::new();
    for page in 0..5 {
        let of_page = (page * 20 + 1..=page * 20 + 20).map(|id| {
            let mut customer = customer(id);
            if id == 7 || id == 93 {
                customer.city = text("nowhere");
            }
            customer
        });
        let number = u32::try_from(page).unwrap() + 1;
        pages.push(
            shop.page(number, at(page), customers(of_page.collect()))
                .await,
        );
    }
    let done = shop.landing.land_pages(shop.lease, &pages).await.unwrap();
    assert_eq!(without_counts(done), landed(98, 2));
    let refused = refused(&shop).await;
    let places: Vec<_> = refused
        .iter()
        .map(|(id, path, _)| (*id, path.as_str()))
        .collect();
    assert_eq!(places, [(7, "customers.city"), (93, "customers.city")]);
    assert!(refused[0].2.contains("23514"), "{refused:?}");
    assert_eq!(shop.rows("salla_sync.sync_pages").await, 5);
    let repeated = shop.landing.land_pages(shop.lease, &pages).await.unwrap();
    assert_eq!((repeated.repeated_pages, repeated.rejected), (5, 0));
    let (counted, rejected): (i64, i64) = shop
        .one("SELECT customers, rejected FROM salla_sync.merchant_sync_status")
        .await;
    assert_eq!((counted, rejected), (98, 2));
}

#[tokio::test]
async fn of_two_that_exclude_each_other_the_second_one_is_rejected() {
    let shop = Shop::open().await;
    shop.execute("CREATE UNIQUE INDEX numbers ON salla.orders (merchant_id, reference_id)")
        .await;
    shop.land_orders(1, at(0), &[header(1)]).await;
    let numbered = |id, number| Order {
        reference_id: Some(number),
        ..header(id)
    };
    let all = [
        numbered(2, 1_001),
        numbered(3, 9),
        numbered(4, 9),
        numbered(5, 10),
    ];
    assert_eq!(shop.land_orders(2, at(10), &all).await, landed(2, 2));
    assert_eq!(ids(&shop, "salla.orders").await, [1, 3, 5]);
    let refused = refused(&shop).await;
    assert_eq!((refused[0].0, refused[1].0), (2, 4));
    assert_eq!(refused[0].1, "orders.reference_id");
    assert!(refused[0].2.contains("23505"), "{refused:?}");
}

#[tokio::test]
async fn what_a_trigger_raises_is_held_against_the_record() {
    for code in ["P0001", "23514", "UE001"] {
        let shop = Shop::open().await;
        shop.execute(&format!(
            "CREATE FUNCTION salla.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.id = 3 THEN
                     RAISE EXCEPTION 'not this one: %', NEW.name USING ERRCODE = '{code}';
                 END IF;
                 RETURN NEW;
             END $$"
        ))
        .await;
        shop.execute(
            "CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON salla.products
             FOR EACH ROW EXECUTE FUNCTION salla.guard()",
        )
        .await;
        let all = (1..=6).map(product).collect();
        assert_eq!(shop.land(1, at(0), products(all)).await, landed(5, 1));
        let [(id, path, message)] = <[_; 1]>::try_from(refused(&shop).await).unwrap();
        assert_eq!((id, path.as_str()), (3, "$"));
        assert!(message.contains(code), "{message}");
        assert!(
            !message.contains("عباية"),
            "values are never quoted: {message}"
        );
    }
}

#[tokio::test]
async fn a_constraint_that_is_checked_at_the_end_fails_no_commit() {
    let shop = Shop::open().await;
    shop.execute(
        "ALTER TABLE salla.products
         ADD UNIQUE (merchant_id, sku) DEFERRABLE INITIALLY DEFERRED",
    )
    .await;
    let numbered = |id, sku| Product {
        sku: text(sku),
        ..product(id)
    };
    let all = vec![numbered(1, "a"), numbered(2, "b"), numbered(3, "a")];
    assert_eq!(shop.land(1, at(0), products(all)).await, landed(2, 1));
    assert_eq!(refused(&shop).await[0].0, 3);
    assert_eq!(ids(&shop, "salla.products").await, [1, 2]);
}

#[tokio::test]
async fn a_refused_version_leaves_the_former_row() {
    let shop = Shop::open().await;
    shop.execute("ALTER TABLE salla.customers ALTER gender TYPE varchar(6)")
        .await;
    shop.land(1, at(0), customers(vec![customer(1), customer(2)]))
        .await;
    let gender = |gender| Customer {
        gender: text(gender),
        ..customer(1)
    };
    shop.land(
        2,
        at(10),
        customers(vec![gender("unknown to us"), customer(2)]),
    )
    .await;
    assert!(refused(&shop).await[0].2.contains("22001"));
    assert_eq!(ids(&shop, "salla.customers").await, [1, 2]);
    let counts = shop.count(Resource::Customers).await;
    assert_eq!((counts.loaded, counts.rejected), (1, 1));
    shop.land(3, at(20), customers(vec![gender("female"), customer(2)]))
        .await;
    assert_eq!(refused(&shop).await, []);
}

/// The customer is a separate record with a separate result.
#[tokio::test]
async fn an_order_does_not_suffer_for_its_customer() {
    let shop = Shop::open().await;
    shop.execute("ALTER TABLE salla.customers ADD CONSTRAINT known CHECK (id <> 5002)")
        .await;
    let all = [whole(1), whole(2), whole(3)];
    shop.land_orders(1, at(0), &all).await;
    assert_eq!(shop.count(Resource::Orders).await.loaded, 3);
    assert_eq!(ids(&shop, "salla.customers").await, [5_001, 5_003]);
    let (id, path, message) = refused(&shop).await.remove(0);
    assert_eq!((id, path.as_str()), (5_002, "customers.id"));
    assert!(message.contains("known"), "{message}");
    let tallies = shop.landing.rejection_tally(shop.lease).await.unwrap();
    assert_eq!(tallies, [], "there is no list to measure it against");
    shop.landing.clear_vanished(shop.lease).await.unwrap();
    assert_eq!(
        refused(&shop).await.len(),
        1,
        "no list has it, and its order stands"
    );

    shop.land(1, at(10), customers(vec![customer(5_002)])).await;
    assert_eq!(
        refused(&shop).await.len(),
        1,
        "one rejection, in every record that names it"
    );
    shop.execute("ALTER TABLE salla.customers DROP CONSTRAINT known")
        .await;
    shop.land(2, at(20), customers(vec![customer(5_002)])).await;
    assert_eq!(refused(&shop).await, []);
}

#[tokio::test]
async fn what_was_not_understood_is_rejected_beside_what_is_refused() {
    let shop = Shop::open().await;
    shop.execute("ALTER TABLE salla.orders ADD CHECK (id <> 2)")
        .await;
    let records = vec![ok(whole(1)), ok(whole(2)), rejected(Some(3), "{}")];
    let done = shop.land(1, at(0), orders(records)).await;
    assert_eq!((done.loaded, done.rejected, done.refused), (1, 2, 1));
    assert!(shop.count(Resource::Orders).await.balances());
}

async fn fails(shop: &Shop, sqlstate: &str) {
    let all = (1..=8).map(customer).collect();
    let page = shop.page(1, at(0), customers(all)).await;
    let failed = shop.landing.land_pages(shop.lease, &[page]).await;
    let failure = failed.unwrap_err();
    assert!(matches!(failure, Failure::Database { .. }), "{failure}");
    assert!(failure.to_string().contains(sqlstate), "{failure}");
    for table in [
        "salla.customers",
        "salla_sync.sync_pages",
        "salla_sync.rejected_records",
    ] {
        assert_eq!(shop.rows(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn what_no_record_is_to_blame_for_is_a_failure() {
    let shop = Shop::open().await;
    shop.execute("ALTER TABLE salla_sync.sync_pages ADD CHECK (page > 1)")
        .await;
    fails(&shop, "23514").await;

    let shop = Shop::open().await;
    shop.execute("ALTER TABLE salla.customers ADD CHECK (id <> 3)")
        .await;
    shop.execute("ALTER TABLE salla_sync.rejected_records ADD CHECK (code = 'other')")
        .await;
    fails(&shop, "23514").await;

    let shop = Shop::open().await;
    shop.execute("ALTER TABLE salla.customers DROP COLUMN gender")
        .await;
    fails(&shop, "42703").await;
}

/// Customer 3 is refused, and customer 4 has to wait as long as the test wants.
const REFUSE_AND_WAIT: &str = "
    CREATE FUNCTION salla.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.id = 3 THEN RAISE EXCEPTION 'refused'; END IF;
        IF NEW.id = 4 THEN PERFORM pg_advisory_xact_lock(18); END IF;
        RETURN NEW;
    END $$";

const WAITS: &str = "
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'advisory'";

#[tokio::test]
async fn a_crash_while_culprits_are_sought_leaves_nothing() {
    let shop = Shop::open().await;
    shop.execute(REFUSE_AND_WAIT).await;
    shop.execute(
        "CREATE TRIGGER guard BEFORE INSERT ON salla.customers
         FOR EACH ROW EXECUTE FUNCTION salla.guard()",
    )
    .await;
    let mut holder = shop.db.pool().begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(18)")
        .execute(&mut *holder)
        .await
        .unwrap();
    let page = shop
        .page(1, at(0), customers((1..=5).map(customer).collect()))
        .await;
    let (landing, lease, pages) = (shop.landing.clone(), shop.lease, [page]);
    let task = tokio::spawn({
        let pages = pages.clone();
        async move { landing.land_pages(lease, &pages).await }
    });
    while shop.one::<(i64,)>(WAITS).await.0 == 0 {
        assert!(!task.is_finished(), "customer 4 was let through");
        a_moment().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    for table in [
        "salla.customers",
        "salla_sync.sync_pages",
        "salla_sync.rejected_records",
    ] {
        assert_eq!(shop.rows(table).await, 0, "{table}");
    }
    holder.rollback().await.unwrap();
    let done = shop.landing.land_pages(lease, &pages).await.unwrap();
    assert_eq!(without_counts(done), landed(4, 1));
    assert_eq!(ids(&shop, "salla.customers").await, [1, 2, 4, 5]);
}
