//! The program on databases that are away, read-only, of another encoding or set for others.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output};

use database::testing::TestDatabase;
use domain::run::RunState;
use importer::testing::clock::a_moment;
use salla_simulator::Simulator;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::jobs::{BackgroundService, PATIENCE};
use crate::process::{present_day, program, run};
use crate::support;
use crate::truth::small;

/// The program with nothing but an address.
async fn with_address(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salla-sync"));
    command.args(arguments).env_clear();
    command.env("DATABASE_URL", url);
    for name in ["SALLA_CLIENT_ID", "SALLA_CLIENT_SECRET"] {
        command.env(name, "of the app");
    }
    command.env("SALLA_SYNC_KEY", support::KEY);
    run(command).await
}

fn all(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_is_said_however_it_is_written() {
    let logging: [&[&str]; 2] = [
        &["--log", "trace", "status"],
        &["--log", "trace", "--log-format", "json", "doctor"],
    ];
    for (number, special) in "?/#%@:[]&=+ ;,!$'\"\\|^".chars().enumerate() {
        for password in [
            format!("{special}s3cretTail"),
            format!("s3cret{special}Tail"),
            format!("s3cretTail{special}"),
            format!("12{special}s3cretTail"),
            format!("10%{special}s3cretTail"),
        ] {
            let url = format!("postgres://app:{password}@127.0.0.1:1/shop");
            let output = with_address(&url, logging[number % 2]).await;
            let said = all(&output);
            assert!(
                !said.contains("s3cret") && !said.contains("Tail"),
                "{password}: {said}"
            );
            // Either it was refused with the way out, or it was read as it was meant.
            let is_refused = said.contains("percent-encode user and password");
            assert!(
                is_refused || said.contains("connection refused"),
                "{password}: {said}"
            );
            if number % 2 == 0 {
                let expected = if is_refused { 2 } else { 1 };
                assert_eq!(output.status.code(), Some(expected), "{password}: {said}");
            }
        }
    }
    for parameter in [
        "s3cretTail",
        "s3cretTail=x",
        "sslmode=s3cretTail",
        "Password=s3cretTail",
    ] {
        let url = format!("postgres://app@127.0.0.1:1/shop?{parameter}");
        let output = with_address(&url, logging[0]).await;
        let said = all(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!said.contains("s3cret") && !said.contains("Tail"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_passwords_is_not_logged() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwords");
    std::fs::write(
        &path,
        "malformed:s3cretTail\n127.0.0.1:1:shop:app:s3cretTail\n",
    )
    .unwrap();
    for mode in [0o600, 0o644] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let url = format!(
            "postgres://app@127.0.0.1:1/shop?passfile={}",
            path.display()
        );
        let output = with_address(&url, &["--log", "trace", "status"]).await;
        let said = all(&output);
        assert!(!said.contains("s3cret"), "{said}");
        assert_eq!(said.contains("chmod 600"), mode == 0o644, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_reached_is_reported_with_the_cause() {
    for (url, cause) in [
        ("postgres://a:x@127.0.0.1:1/d", "connection refused"),
        (
            "postgres://a:x@nonexistent.invalid/d?sslmode=disable",
            "cannot be resolved",
        ),
    ] {
        for command in ["status", "doctor", "work", "migrate"] {
            let output = with_address(url, &[command]).await;
            let said = all(&output);
            assert_eq!(output.status.code(), Some(1), "{command}: {said}");
            assert!(said.contains(cause), "{command}: {said}");
            assert!(!said.contains("became free"), "{command}: {said}");
        }
    }
}

fn name(database: &TestDatabase) -> String {
    let options = database.pool().connect_options();
    options.get_database().unwrap().to_owned()
}

async fn execute(database: &TestDatabase, sql: &str) {
    let sql = sql.replace("$db", &name(database));
    database.pool().execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_suit_other_programs_end_no_import() {
    let mut scenario = small(120);
    // While it waits for Salla, a session is idle for longer than it may be. Much less would
    // end one whose first statement a busy machine holds up.
    scenario.latency.fixed_ms = 1_200;
    let service = present_day(scenario).await;
    for setting in [
        "statement_timeout = '5ms'",
        "lock_timeout = '5ms'",
        "idle_session_timeout = '1s'",
        "idle_in_transaction_session_timeout = '20ms'",
        "default_transaction_isolation = serializable",
        "search_path = nowhere",
        "TimeZone = 'Asia/Riyadh'",
        "DateStyle = German",
    ] {
        execute(
            &service.database,
            &format!("ALTER DATABASE $db SET {setting}"),
        )
        .await;
    }
    let output = run(program(&service, &["import"])).await;
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
    let output = run(program(&service, &["doctor"])).await;
    let said = all(&output);
    assert!(said.contains("statement_timeout = 5ms (database"), "{said}");
    assert!(!said.contains("BAD"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_reported_before_any_request_to_salla() {
    let service = present_day(small(60)).await;
    execute(
        &service.database,
        "ALTER DATABASE $db SET default_transaction_read_only = on",
    )
    .await;
    let asked = service.simulator.ledger().requests;
    for command in ["import", "migrate", "doctor"] {
        let output = run(program(&service, &[command])).await;
        let said = all(&output);
        // The tables are there, so there is nothing to migrate.
        let expected = if command == "migrate" { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{command}: {said}");
        if command != "migrate" {
            assert!(
                said.contains("read-only") && said.contains("ALTER DATABASE"),
                "{said}"
            );
        }
        if command == "import" {
            assert_eq!(service.simulator.ledger().requests, asked, "{said}");
        }
    }
    // What only reads still works.
    let output = run(program(&service, &["status"])).await;
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_works_once_the_database_takes_writes_again() {
    let background = BackgroundService::open(small(60).moved_to(salla_simulator::present())).await;
    let database = &background.service.database;
    let mut writable = database.pool().acquire().await.unwrap();
    execute(
        database,
        "ALTER DATABASE $db SET default_transaction_read_only = on",
    )
    .await;
    let mut worker = program(&background.service, &["work"]).spawn().unwrap();
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines();
    let warning = lines.find(|line| line.as_ref().unwrap().contains("read-only"));
    assert!(warning.is_some(), "it says what it waits for");
    let reset = format!(
        "ALTER DATABASE {} RESET default_transaction_read_only",
        name(database)
    );
    writable.execute(AssertSqlSafe(reset)).await.unwrap();
    let started = background.start().await;
    let done = async {
        while background.run(&started).await.state != RunState::Completed {
            a_moment().await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, done).await;
    worker.kill().unwrap();
    worker.wait().unwrap();
    done.expect("the run ends within a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_arabic_is_refused_by_every_way_in() {
    let server = TestDatabase::create().await;
    let simulator = Simulator::start(small(60)).await.unwrap();
    for encoding in ["LATIN1", "SQL_ASCII", "WIN1256"] {
        let other = format!("{}_{}", name(&server), encoding.to_lowercase());
        let create =
            format!("CREATE DATABASE {other} ENCODING {encoding} LOCALE 'C' TEMPLATE template0");
        server.pool().execute(AssertSqlSafe(create)).await.unwrap();
        let mut url = url::Url::parse(&server.url()).unwrap();
        url.set_path(&other);
        for arguments in [
            &["migrate"][..],
            &["migrate", "--dry-run"],
            &["doctor"],
            &["import"],
        ] {
            let mut command = support::program(&simulator, url.as_str(), arguments);
            command.stdout(std::process::Stdio::piped());
            command.stderr(std::process::Stdio::piped());
            let output = run(command).await;
            let said = all(&output);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
            let expected = format!("the database's encoding is {encoding}, UTF8 is needed");
            assert!(said.contains(&expected), "{arguments:?}: {said}");
        }
        let drop = format!("DROP DATABASE {other} WITH (FORCE)");
        server.pool().execute(AssertSqlSafe(drop)).await.unwrap();
    }
}
