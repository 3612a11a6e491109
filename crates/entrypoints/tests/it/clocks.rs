//! Clocks that do not agree.

use sqlx::AssertSqlSafe;

use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::truth::small;

/// To every connection that is opened from now on, the server's clock shows another time.
async fn shift_the_servers_clock(service: &TestService, by: &'static str) {
    let pool = service.open.database.pool();
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(pool)
        .await
        .expect("the database has a name");
    for sql in [
        "CREATE SCHEMA shifted".to_owned(),
        format!(
            "CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz
             RETURN pg_catalog.clock_timestamp() + interval '{by}'"
        ),
        format!("ALTER DATABASE \"{name}\" SET search_path = shifted, pg_catalog"),
    ] {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(pool).await;
        done.expect("the clock can be replaced");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_imported_by_a_clock_that_is_behind() {
    for (by, told) in [("600.5 s", "600 s apart"), ("-600.5 s", "-600 s apart")] {
        let service = present_day(small(20)).await;
        shift_the_servers_clock(&service, by).await;
        let requests = service.simulator.ledger().requests;
        for arguments in [
            &["import"][..],
            &["work"],
            &["resync", "--resource", "products"],
            &["extend"],
        ] {
            let output = run(program(&service, arguments)).await;
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(told), "{arguments:?}: {said}");
            assert!(said.contains("set both by NTP"), "{arguments:?}: {said}");
        }
        assert_eq!(service.simulator.ledger().requests, requests);
        let output = run(program(&service, &["doctor"])).await;
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(report.contains(told), "{report}");
    }
}
