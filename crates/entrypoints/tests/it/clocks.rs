//! Clocks that do not agree.

use domain::window::DayRange;
use importer::testing::clock::a_moment;
use salla_simulator::{AppAge, Original, Scenario};
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
            assert!(
                said.contains("synchronize both by NTP"),
                "{arguments:?}: {said}"
            );
        }
        assert_eq!(service.simulator.ledger().requests, requests);
        let output = run(program(&service, &["doctor"])).await;
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(report.contains(told), "{report}");
    }
}

/// In place of a clock that was ahead: everything says that it was read two days from now.
async fn were_read_in_the_future(service: &TestService) {
    for sql in [
        "UPDATE salla_sync.source_records SET list_version = list_version + interval '2 days',
             list_since = list_since + interval '2 days',
             detail_version = detail_version + interval '2 days',
             gone_at = gone_at + interval '2 days'",
        "UPDATE salla_sync.rejected_records SET version = version + interval '2 days'",
    ] {
        let done = sqlx::query(sql).execute(service.open.database.pool()).await;
        done.expect("versions can be changed");
    }
}

async fn said(service: &TestService, arguments: &[&str], expected: i32) -> String {
    let output = run(program(service, arguments)).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(expected),
        "{arguments:?}: {said}"
    );
    said
}

/// Ten edits, a deletion, and an order that comes back.
async fn change_the_shop(service: &TestService, hidden: i64) {
    let shop = service.simulator.first_shop();
    let ids = newest_orders(service);
    let (status, rest) = ids.split_at(5);
    for id in status {
        assert!(shop.edit_order(*id, Original::Canceled));
    }
    for id in &rest[..5] {
        assert!(shop.edit_order_items(*id));
    }
    assert!(shop.delete_order(rest[5]));
    assert!(shop.unhide_order(hidden));
}

fn newest_orders(service: &TestService) -> Vec<i64> {
    let truth = service.simulator.shop();
    let today = domain::instant::riyadh_date(salla_simulator::present());
    let days = DayRange::last_months(today, 12);
    let orders = truth.truth_orders(days.from, days.to);
    let mut ids: Vec<i64> = orders.map(|order| order.id).collect();
    ids.reverse();
    ids
}

async fn rows_equal_the_shop(service: &TestService) {
    let runs = service
        .open
        .runs()
        .list()
        .await
        .expect("runs can be listed");
    let merchant = runs[0].0.merchant;
    let run = service.open.runs().latest_full(merchant).await;
    let range = run.expect("it can be read").expect("there is one").range;
    let differences = service.compare_rows(merchant, range).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_records_that_were_read_in_the_future_arrive() {
    let again: &[&str] = &["import", "--again"];
    let today = domain::instant::riyadh_date(salla_simulator::present()).to_string();
    let days = ["--from", "2000-01-01", "--to", &today];
    let resync: &[&str] = &[&["resync", "--resource", "orders"][..], &days].concat();
    for (app_age, command) in [
        (AppAge::Expanded, again),
        (AppAge::Expanded, resync),
        (AppAge::FullDetails, resync),
        (AppAge::LightDetails, again),
    ] {
        let service = present_day(Scenario {
            app_age,
            ..small(120)
        })
        .await;
        let hidden = newest_orders(&service)[20];
        said(&service, &["import"], 0).await;
        assert!(service.simulator.first_shop().hide_order(hidden));
        said(&service, &["import", "--again"], 0).await;
        were_read_in_the_future(&service).await;

        let report = said(&service, &["doctor"], 1).await;
        assert!(report.contains("BAD  versions"), "{report}");
        assert!(report.contains("in the future, by up to 47h"), "{report}");
        let report = said(&service, &["verify"], 0).await;
        assert!(report.contains("read in the future"), "{report}");
        change_the_shop(&service, hidden).await;
        let noticed = said(&service, command, 0).await;
        assert!(
            noticed.contains("versions in the future were replaced"),
            "{noticed}"
        );
        rows_equal_the_shop(&service).await;
        let quiet = said(&service, &["import", "--again"], 0).await;
        let warned = command == again && quiet.contains("lay in the future");
        assert!(!warned, "{quiet}");
        let report = said(&service, &["doctor"], 0).await;
        assert!(report.contains("ok   versions"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_imported_by_a_clock_that_salla_does_not_share() {
    let service = present_day(small(20)).await;
    for ahead in [3 * 3_600, -3 * 3_600, 2 * 86_400, 310] {
        service
            .simulator
            .set(|scenario| scenario.date_ahead_seconds = ahead);
        for arguments in [
            &["import"][..],
            &["resync", "--resource", "products"],
            &["extend"],
        ] {
            let said = said(&service, arguments, 2).await;
            assert!(
                said.contains("this machine's clock and Salla's are"),
                "{said}"
            );
        }
        let report = said(&service, &["doctor"], 1).await;
        assert!(report.contains("BAD  clock"), "{report}");
        assert!(report.contains("synchronize the clock by NTP"), "{report}");
    }
    let runs = service
        .open
        .runs()
        .list()
        .await
        .expect("runs can be listed");
    assert!(runs.iter().all(|(_, run)| run.is_none()), "none was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_salla_s_that_is_a_little_off_stops_nothing() {
    let service = present_day(small(20)).await;
    for (ahead, is_well) in [(20, true), (-20, true), (120, false)] {
        service
            .simulator
            .set(|scenario| scenario.date_ahead_seconds = ahead);
        let imported = said(&service, &["import", "--again"], 0).await;
        let warned = imported.contains("the clocks do not agree");
        assert_eq!(warned, !is_well, "{ahead}: {imported}");
        let report = said(&service, &["doctor"], i32::from(!is_well)).await;
        assert_eq!(report.contains("ok   clock"), is_well, "{report}");
    }
}

/// A worker that finds this lets the run wait and resumes it automatically.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_until_the_clocks_are_set() {
    let service = present_day(small(20)).await;
    said(&service, &["connect"], 0).await;
    let merchant = service.simulator.merchant_id().to_string();
    said(&service, &["runs", "start", "--shop", &merchant], 0).await;
    service
        .simulator
        .set(|scenario| scenario.date_ahead_seconds = -10_800);
    let mut worker = program(&service, &["work"]).spawn().expect("it starts");
    until_the_run_is(&service, "WAITING").await;
    let code: String = sqlx::query_scalar("SELECT failure_code FROM salla_sync.sync_runs")
        .fetch_one(service.open.database.pool())
        .await
        .expect("there is a run");
    assert_eq!(code, "clocks_apart");
    service
        .simulator
        .set(|scenario| scenario.date_ahead_seconds = 0);
    for sql in [
        "UPDATE salla_sync.sync_runs SET waiting_until = now()",
        "UPDATE salla_sync.queue_messages SET visible_at = now()",
    ] {
        let done = sqlx::query(sql).execute(service.open.database.pool()).await;
        done.expect("the wait can be cut short");
    }
    until_the_run_is(&service, "COMPLETED").await;
    worker.kill().expect("it can be ended");
    worker.wait().expect("it can be waited for");
}

async fn until_the_run_is(service: &TestService, wanted: &str) {
    loop {
        let state: String = sqlx::query_scalar("SELECT state FROM salla_sync.sync_runs")
            .fetch_one(service.open.database.pool())
            .await
            .expect("there is a run");
        if state == wanted {
            return;
        }
        assert_ne!(state, "FAILED");
        a_moment().await;
    }
}
