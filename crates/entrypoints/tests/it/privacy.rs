//! A customer who is forgotten, and everything that has to stay true all the same.

use domain::resource::Resource;
use importer::admission::FetchPermit;
use salla_simulator::AppAge;
use serde_json::Value;

use crate::process::{present_day, program, run};
use crate::reprocess::json;
use crate::service::TestService;
use crate::truth::small;

/// The customer with most orders, their orders, and words that only they have.
struct Person {
    shop: String,
    id: String,
    orders: i64,
    words: Vec<String>,
}

async fn person(service: &TestService) -> Person {
    let pool = service.open.database.pool();
    let (id, orders): (i64, i64) = sqlx::query_as(
        "SELECT customer_id, count(*) FROM salla.orders WHERE customer_id IS NOT NULL
         GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1",
    )
    .fetch_one(pool)
    .await
    .expect("a customer has an order");
    let words: (Option<String>, Option<String>) =
        sqlx::query_as("SELECT email, mobile FROM salla.customers WHERE id = $1")
            .bind(id)
            .fetch_one(pool)
            .await
            .expect("the customer is there");
    let mut words: Vec<String> = [words.0, words.1].into_iter().flatten().collect();
    assert!(!words.is_empty());
    words.push(id.to_string());
    Person {
        shop: service.simulator.merchant_id().to_string(),
        id: id.to_string(),
        orders,
        words,
    }
}

/// Sums, views and counts, which a forgotten customer must not change.
async fn sums(service: &TestService) -> String {
    sqlx::query_scalar(
        "SELECT concat_ws('|',
            (SELECT string_agg(d::text, ',' ORDER BY riyadh_date) FROM salla.daily_sales d),
            (SELECT count(*) FROM salla.customers), (SELECT count(*) FROM salla.orders),
            (SELECT count(customer_id) FROM salla.orders),
            (SELECT string_agg(c.orders::text, ',' ORDER BY c.orders) FROM salla.customer_orders c),
            (SELECT sum(cardinality(ids)) FROM salla_sync.sync_pages))",
    )
    .fetch_one(service.open.database.pool())
    .await
    .expect("the views can be read")
}

/// Every row of every table as text, and every raw text.
async fn everything(service: &TestService) -> String {
    let pool = service.open.database.pool();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind = 'r'",
    )
    .fetch_all(pool)
    .await
    .expect("the catalogue can be read");
    let mut all = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(pool)
            .await
            .expect("the table can be read");
        all.push_str(&rows);
    }
    let merchant = service.open.runs().list().await.expect("there is a shop")[0]
        .0
        .merchant;
    for resource in [Resource::Orders, Resource::Customers] {
        let kept = service
            .open
            .records()
            .stored(merchant, resource, 0, 10_000)
            .await;
        for record in kept.expect("the texts can be read") {
            let texts = [record.listed, record.detail];
            texts
                .into_iter()
                .flatten()
                .for_each(|text| all.push_str(&text.raw));
            all.push_str(&record.items.unwrap_or_default());
        }
    }
    all
}

async fn says(service: &TestService, arguments: &[&str], code: i32) -> String {
    let output = run(program(service, arguments)).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_customer_is_nowhere_and_nothing_else_changes() {
    let mut scenario = small(60);
    scenario.app_age = AppAge::LightDetails;
    let service = present_day(scenario).await;
    says(&service, &["import"], 0).await;
    let person = person(&service).await;
    let before = sums(&service).await;

    let whom = ["--customer", &person.id, "--shop", &person.shop];
    let (exported, code) = json(&service, &[&["export"], whom.as_slice()].concat()).await;
    assert_eq!(code, 0);
    let count = |name: &str| exported[name].as_array().map_or(0, Vec::len) as i64;
    assert_eq!((count("customers"), count("orders")), (1, person.orders));
    assert_eq!(count("raw_records"), person.orders + 1);
    assert!(count("order_items") >= person.orders);
    let text = exported.to_string();
    person
        .words
        .iter()
        .for_each(|word| assert!(text.contains(word), "{word}"));

    // A webhook has named them.
    let named = "INSERT INTO salla_sync.changed_records
        SELECT id, 'customers', $1, now() FROM salla_sync.merchants";
    let id: i64 = person.id.parse().expect("a number");
    let pool = service.open.database.pool();
    let named = sqlx::query(named).bind(id).execute(pool).await;
    named.expect("it is marked");
    let forget = [&["forget", "--json"], whom.as_slice()].concat();
    let (would, _) = json(&service, &[forget.as_slice(), &["--dry-run"]].concat()).await;
    assert!(everything(&service).await.contains(&person.words[0]));
    let (report, _) = json(&service, &forget).await;
    assert_eq!(report["changed"], would["changed"]);
    assert_eq!(report["changed"]["orders"], Value::from(person.orders));
    let (again, _) = json(&service, &forget).await;
    assert_eq!(again["changed"]["orders"], 0);

    let gone = async |when: &str| {
        let all = everything(&service).await;
        for word in &person.words {
            assert!(!all.contains(word.as_str()), "{when}: {word}");
        }
        assert_eq!(sums(&service).await, before, "{when}");
    };
    gone("after it was forgotten").await;
    says(&service, &["verify", "--deep"], 0).await;
    says(&service, &["remap"], 0).await;
    gone("after all was read again from what is kept").await;
    // Salla lists the customer as before, and says everything of them again.
    says(&service, &["import"], 0).await;
    says(&service, &["import", "--again"], 0).await;
    let all = everything(&service).await;
    for word in &person.words {
        assert!(!all.contains(word.as_str()), "after another import: {word}");
    }
    let customers: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE id >= 4611686018427387904) FROM salla.customers",
    )
    .fetch_one(service.open.database.pool())
    .await
    .expect("customers can be counted");
    assert_eq!(customers.1, 1, "one stand-in among {}", customers.0);
    says(&service, &["verify", "--deep"], 0).await;

    // A forgotten customer fetched because of another webhook stays a placeholder, even once Salla
    // has deleted them.
    let connected = service.connect().await;
    let (platform, merchant) = (connected.platform, connected.merchant);
    let platform = service.open.forgetting(platform, merchant).await;
    let platform = platform.expect("it can be read whom the shop has forgotten");
    for is_deleted in [false, true] {
        let shop = service.simulator.first_shop();
        assert!(!is_deleted || shop.delete_customer(id));
        let mut permit = FetchPermit::default();
        let fetched = platform.record(Resource::Customers, id, &mut permit).await;
        let (row, _) = fetched.expect("Salla answers").expect("a stand-in");
        assert!(row.ids()[0] >= 4_611_686_018_427_387_904);
        let said = format!("{row:?}");
        for word in &person.words {
            assert!(!said.contains(word.as_str()), "{word}");
        }
    }

    // Without the key no forgotten customer could be recognized, so nothing is imported.
    let mut command = program(&service, &["import"]);
    command
        .env_remove("SALLA_SYNC_KEY")
        .env_remove("SALLA_REFRESH_TOKEN");
    let refused = run(command).await;
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && errors.contains("SALLA_SYNC_KEY"),
        "{errors}"
    );

    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM salla.orders")
        .fetch_one(service.open.database.pool())
        .await
        .expect("orders can be counted");
    let shop = ["forget", "--shop", &person.shop, "--json"];
    let (deleted, _) = json(&service, &shop).await;
    assert_eq!(deleted["deleted"]["salla.orders"], orders);
    says(&service, &shop, 2).await;
}
