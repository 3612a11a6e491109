//! Nothing inside a record vanishes: an entry that a list has twice is there twice, an unreadable
//! one rejects its whole record, and a certificate reports deleted rows.

use domain::certificate::{Certificate, EntryCounts};
use domain::resource::Resource;
use importer::import::ImportOutcome;
use salla_simulator::{AppAge, InvalidRates, Repeats, Scenario, ShopSpec};
use sqlx::AssertSqlSafe;

use crate::service::{TestService, completed};
use crate::truth::small;

const AGES: [AppAge; 3] = [AppAge::Expanded, AppAge::FullDetails, AppAge::LightDetails];

fn shop_with_repeats(app_age: AppAge, orders: u64) -> Scenario {
    let scenario = small(orders);
    Scenario {
        app_age,
        shop: ShopSpec {
            repeats: Repeats {
                ids: 0.6,
                copies: 0.4,
            },
            ..scenario.shop
        },
        ..scenario
    }
}

/// Listed, and held, of all windows of a resource.
fn lines(certificate: &Certificate, resource: Resource) -> EntryCounts {
    let summary = certificate.summary(resource);
    EntryCounts {
        listed: summary.lines_listed,
        held: summary.lines_held,
    }
}

async fn count(service: &TestService, sql: &str) -> u64 {
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(service.open.database.pool())
        .await
        .expect("the tables can be read");
    count.cast_unsigned()
}

async fn execute(service: &TestService, sql: &str) {
    let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(service.open.database.pool())
        .await;
    assert!(
        done.expect("the tables can be changed").rows_affected() > 0,
        "{sql}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_share_an_id_or_everything_all_arrive() {
    for app_age in AGES {
        let service = TestService::start(shop_with_repeats(app_age, 300)).await;
        let certificate = service.import_and_compare().await;
        for (resource, same_id) in [
            (
                Resource::Orders,
                "SELECT count(*) - count(DISTINCT (order_id, id)) FROM salla.order_items",
            ),
            (
                Resource::Products,
                "SELECT count(*) - count(DISTINCT (product_id, id)) FROM salla.product_variants",
            ),
            (
                Resource::Products,
                "SELECT count(*) - count(DISTINCT (product_id, category_id)) FROM salla.product_categories",
            ),
        ] {
            let lines = lines(&certificate, resource);
            assert_eq!(lines.listed, lines.held, "{app_age:?} {resource}");
            assert!(lines.listed > 0, "{app_age:?} {resource}");
            assert!(count(&service, same_id).await > 5, "{app_age:?}: {same_id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_come_in_pages_all_arrive_in_their_order() {
    let service = TestService::start(Scenario {
        items_page_cap: Some(2),
        ..shop_with_repeats(AppAge::LightDetails, 200)
    })
    .await;
    service.import_and_compare().await;
    let longest = "SELECT max(position)::bigint FROM salla.order_items";
    assert!(count(&service, longest).await > 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_an_entry_that_is_no_object_is_rejected_whole() {
    for app_age in AGES {
        let service = TestService::start(Scenario {
            invalid: InvalidRates {
                orders: 0.1,
                products: 0.7,
                ..InvalidRates::default()
            },
            ..shop_with_repeats(app_age, 400)
        })
        .await;
        service.import_and_compare().await;
        for place in ["$.items[0]", "$[0]", "$.skus[%]"] {
            let resource = if place.contains("skus") {
                "products"
            } else {
                "orders"
            };
            let is_apart = app_age == AppAge::LightDetails;
            if resource == "orders" && is_apart != (place == "$[0]") {
                continue;
            }
            let sql = format!(
                "SELECT count(*) FROM salla_sync.rejected_records
                 WHERE code = 'invalid_field' AND json_path LIKE '{place}' AND resource = '{resource}'"
            );
            assert!(count(&service, &sql).await > 0, "{app_age:?} {place}");
        }
    }
}

/// Taken away while an import of the same records runs: its certificate must not say that
/// everything is there.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_taken_away_before_the_end_fail_the_run() {
    let altered = [
        "DELETE FROM salla.order_items WHERE position = 1",
        "UPDATE salla.orders SET total = total + 1",
        "DELETE FROM salla.product_categories",
    ];
    for sql in altered {
        let service = TestService::start(small(60)).await;
        let (merchant, outcome) = service.import().await;
        let certificate = completed(outcome);
        execute(&service, sql).await;
        let run = service.open.runs().latest(merchant).await.unwrap().unwrap();
        let counts = service.open.inventory().count_windows(&run).await.unwrap();
        let altered = counts.iter().filter(|w| !w.counts.balances()).count();
        assert!(altered > 0, "{sql}");
        assert!(certificate.balances());
    }
}

/// A user's trigger, which drops the first lines that are written.
const FORGETFUL: &str = "
    CREATE SEQUENCE public.written;
    CREATE FUNCTION public.forget() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('public.written') <= 20 THEN RETURN NULL; END IF;
            RETURN NEW;
        END $$;
    CREATE TRIGGER forget BEFORE INSERT ON salla.order_items
        FOR EACH ROW EXECUTE FUNCTION public.forget();
    CREATE TRIGGER forget BEFORE INSERT ON salla.product_variants
        FOR EACH ROW EXECUTE FUNCTION public.forget()";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reads_again_what_did_not_stay() {
    for app_age in AGES {
        let service = TestService::start(Scenario {
            app_age,
            ..small(100)
        })
        .await;
        let pool = service.open.database.pool();
        sqlx::raw_sql(FORGETFUL).execute(pool).await.unwrap();
        service.import_and_compare().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_rows_do_not_stay_does_not_complete() {
    let service = TestService::start(small(100)).await;
    let pool = service.open.database.pool();
    let always = FORGETFUL.replace("<= 20", "> 0");
    sqlx::raw_sql(AssertSqlSafe(always))
        .execute(pool)
        .await
        .unwrap();
    let (_, outcome) = service.import().await;
    let ImportOutcome::Failed {
        failure,
        certificate,
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(failure.code(), "unbalanced");
    let lines = lines(&certificate.expect("it was counted"), Resource::Orders);
    assert!(lines.listed > 100, "{lines:?}");
    assert_eq!(lines.held, 0);
}

/// The certificate of a repeated import vouches for rows that are there, because it has put
/// them back.
#[tokio::test(flavor = "multi_thread")]
async fn importing_again_puts_back_what_was_taken_away() {
    for app_age in AGES {
        let mut service = TestService::start(shop_with_repeats(app_age, 200)).await;
        service.import_and_compare().await;
        for table in [
            "order_items",
            "order_discounts",
            "product_variants",
            "product_categories",
        ] {
            execute(&service, &format!("DELETE FROM salla.{table}")).await;
        }
        execute(&service, "UPDATE salla.orders SET total = 0").await;
        execute(&service, "UPDATE salla.products SET price = 0, name = 'x'").await;
        execute(&service, "UPDATE salla.customers SET email = 'x'").await;
        // Another number of months makes another run, as `--again` does.
        service.options.months = 13;
        let (merchant, outcome) = service.import().await;
        let ImportOutcome::Completed(certificate) = outcome else {
            panic!("{app_age:?}: {outcome:?}");
        };
        service.compare(merchant, &certificate).await;
    }
}
