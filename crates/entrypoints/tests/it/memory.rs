//! However long Salla's responses are: how much memory the program takes, as the kernel counts it,
//! and what becomes of the shop.

use std::process::{Child, Stdio};
use std::time::Duration;

use domain::failure::Failure;
use domain::resource::Resource;
use domain::run::RunState;
use domain::shop::MerchantId;
use domain::window::DayRange;
use entrypoints::wiring;
use importer::import::ImportOutcome;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::connections::Tokens;
use importer::ports::jobs::Jobs as _;
use importer::ports::runs::Run;
use salla_simulator::{AppAge, Filling, LongRecords, Scenario, ShopSpec};

use crate::process::{present_day, program};
use crate::service::{TestService, completed};
use crate::truth::small;

/// What the whole process may take, in kibibytes.
const LIMIT: u64 = 256 << 10;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Beyond this a test has gone wrong.
const PATIENCE: Duration = Duration::from_secs(300);

fn long(orders: u64, bytes: usize, filling: Filling) -> Scenario {
    let mut scenario = small(orders);
    scenario.quirks.long_records = Some(LongRecords {
        bytes,
        one_of: 1,
        filling,
    });
    // Where a shop is slow is in this machine and not in Salla.
    scenario.latency.fixed_ms = 0;
    scenario
}

/// The most that a process has taken so far.
fn peak(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Looks at a process again and again until it ends or `is_enough`; gives the most that it
/// took. The kernel keeps the peak, so nothing between two looks is missed.
async fn watch<F>(child: &mut Child, is_enough: impl Fn() -> F) -> u64
where
    F: Future<Output = bool>,
{
    let (clock, mut most) = (SystemClock::real(), 0);
    let watching = async {
        while child.try_wait().expect("it can be waited for").is_none() {
            most = peak(child).unwrap_or(most);
            if is_enough().await {
                break;
            }
            clock.sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, watching).await;
    in_time.expect("it ends or does what it should");
    most
}

async fn only_run(service: &TestService) -> (MerchantId, Run) {
    let runs = service
        .open
        .runs()
        .list()
        .await
        .expect("runs can be listed");
    let (shop, run) = runs.into_iter().next().expect("there is a shop");
    (shop.merchant, run.expect("there is a run"))
}

/// Imports the shop in a separate process; returns its peak memory.
async fn import(service: &TestService) -> u64 {
    let mut command = program(service, &["--log", "salla=info,warn", "import"]);
    command.stdout(Stdio::null());
    let log = tempfile();
    command.stderr(log.try_clone().expect("a file has two handles"));
    let mut child = command.spawn().expect("it starts");
    let most = watch(&mut child, || async { false }).await;
    let status = child.wait().expect("it can be waited for");
    assert!(status.success(), "{}", text_of(log));
    most
}

fn tempfile() -> std::fs::File {
    let path = std::env::temp_dir().join(format!("salla-sync-memory-{}", std::process::id()));
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .expect("a file can be made");
    std::fs::remove_file(path).expect("it can be removed");
    file
}

fn text_of(mut file: std::fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    file.rewind().expect("a file can be read again");
    file.read_to_string(&mut text).expect("it is text");
    text
}

/// Pages and details that are as long as they may be, as they are and compressed.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_answers_of_a_shop_fit_into_memory() {
    let page_of_eight = long(240, 126 * KIB, Filling::Noise);
    let mut compressed = long(240, 126 * KIB, Filling::Letter);
    compressed.quirks.gzip = true;
    let mut details = long(60, 3 * MIB, Filling::Letter);
    // One of them would be longer than any that is read.
    details.shop.customers = 0;
    details.shop.products = 10;
    details.app_age = AppAge::FullDetails;
    details.quirks.gzip = true;
    let mut light = long(40, 2 * MIB, Filling::Letter);
    light.shop.customers = 0;
    light.shop.products = 10;
    light.app_age = AppAge::LightDetails;
    light.quirks.gzip = true;
    for (name, scenario) in [
        ("pages", page_of_eight),
        ("compressed pages", compressed),
        ("details", details),
        ("details without items", light),
    ] {
        let service = present_day(scenario).await;
        let most = import(&service).await;
        eprintln!("{name}: {} MiB", most >> 10);
        assert!(most <= LIMIT, "{name}: {most} KiB");
        let (merchant, run) = only_run(&service).await;
        assert_eq!(run.state, RunState::Completed, "{name}");
        let certificate = run.certificate.expect("it is certified");
        service.compare(merchant, &certificate).await;
    }
}

/// Sixty rows are longer than any response that is read, fifteen are not.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_too_long_are_read_in_smaller_portions() {
    for app_age in [AppAge::Expanded, AppAge::LightDetails] {
        let mut scenario = long(200, 120 * KIB, Filling::Letter);
        if app_age == AppAge::Expanded {
            scenario = long(200, 400 * KIB, Filling::Letter);
        }
        scenario.app_age = app_age;
        scenario.quirks.gzip = true;
        let service = TestService::start(scenario).await;
        let certificate = service.import_and_compare().await;
        for resource in [Resource::Orders, Resource::Customers, Resource::Products] {
            let summary = certificate.summary(resource);
            assert_eq!(summary.rejected, 0, "{app_age:?} {resource}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_longer_than_any_response_is_rejected_and_the_others_arrive() {
    for app_age in [AppAge::Expanded, AppAge::FullDetails] {
        for filling in [Filling::Letter, Filling::Items] {
            let mut scenario = long(100, 9 * MIB, filling);
            scenario.app_age = app_age;
            scenario.quirks.gzip = true;
            scenario.quirks.long_records = scenario
                .quirks
                .long_records
                .map(|long| LongRecords { one_of: 23, ..long });
            let service = TestService::start(scenario).await;
            let (merchant, outcome) = service.import().await;
            let certificate = completed(outcome);
            assert!(certificate.balances());
            let range = certificate.range;
            let truth = service.simulator.shop();
            let truth = truth.truth_orders(range.from, range.to);
            let is_long = |id: &i64| id % 23 == 0;
            let long_orders: Vec<i64> = truth.into_iter().map(|o| o.id).filter(is_long).collect();
            let orders = certificate.summary(Resource::Orders);
            assert!(!long_orders.is_empty());
            assert_eq!(
                orders.rejected,
                long_orders.len() as u64,
                "{app_age:?} {filling:?}"
            );
            let codes: Vec<String> =
                sqlx::query_scalar("SELECT DISTINCT code FROM salla_sync.rejected_records")
                    .fetch_all(service.open.database.pool())
                    .await
                    .expect("they can be read");
            assert_eq!(codes, ["too_large"], "{app_age:?} {filling:?}");
            let missing = service.compare_rows(merchant, range).await;
            assert!(
                missing.iter().all(|line| line.ends_with("is missing")
                    || line.ends_with("should be 0")
                    || line.contains("more diff")),
                "{missing:?}"
            );
        }
    }
}

/// These do not come in parts.
#[tokio::test(flavor = "multi_thread")]
async fn where_smaller_portions_do_not_help_the_failure_names_the_page() {
    let mut scenario = long(100, 9 * MIB, Filling::Letter);
    scenario.quirks.gzip = true;
    let service = TestService::start(scenario).await;
    let (_, outcome) = service.import().await;
    let ImportOutcome::Failed {
        failure: Failure::TooLarge { message: what },
        ..
    } = &outcome
    else {
        panic!("{outcome:?}");
    };
    assert!(
        what.contains("page") && what.contains("longer than 8 MiB"),
        "{what}"
    );
}

/// Shops whose responses are all as long as may be, in one worker.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_answers_of_many_shops_fit_into_memory() {
    for (name, app_age, bytes) in [
        ("pages", AppAge::Expanded, 120 * KIB),
        ("details", AppAge::LightDetails, 900 * KIB),
    ] {
        let mut scenario = long(60, bytes, Filling::Letter);
        if app_age == AppAge::LightDetails {
            scenario = long(12, bytes, Filling::Letter);
            scenario.shop.products = 4;
            scenario.shop.categories = 2;
        }
        scenario.app_age = app_age;
        scenario.quirks.gzip = true;
        let shop = scenario.shop.clone();
        scenario.shops = (2..=SHOPS)
            .map(|seed| ShopSpec {
                seed,
                ..shop.clone()
            })
            .collect();
        let service = present_day(scenario).await;
        start_all(&service).await;
        let mut command = program(&service, &["work", "--jobs", "16"]);
        command
            .env_remove("SALLA_ACCESS_TOKEN")
            .env_remove("SALLA_REFRESH_TOKEN")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut worker = command.spawn().expect("it starts");
        let most = watch(&mut worker, || all_are_completed(&service)).await;
        worker.kill().expect("it still works");
        worker.wait().expect("it can be waited for");
        eprintln!("{name} of {SHOPS} shops: {} MiB", most >> 10);
        assert!(most <= LIMIT, "{name}: {most} KiB");
    }
}

const SHOPS: u64 = 12;

async fn start_all(service: &TestService) {
    for shop in service.simulator.shops() {
        let mut salla = service.salla();
        salla.tokens = Tokens {
            access: shop.access_token().into(),
            refresh: Some(shop.refresh_token().into()),
            expires_at: None,
            scope: None,
        };
        let connected = wiring::connect_and_store(&service.open, &salla, service.clock.clone());
        let merchant = connected.await.expect("the shop connects").merchant;
        let today = domain::instant::riyadh_date(service.clock.now());
        let range = DayRange::last_months(today, service.options.months);
        let jobs = service.open.database.jobs();
        let started = jobs.start(merchant, &service.options, range).await;
        started.expect("the import starts");
    }
}

async fn all_are_completed(service: &TestService) -> bool {
    let sql = "SELECT count(*) FROM salla_sync.sync_runs WHERE state = 'COMPLETED'";
    let completed: i64 = sqlx::query_scalar(sql)
        .fetch_one(service.open.database.pool())
        .await
        .expect("runs can be counted");
    completed.cast_unsigned() == SHOPS
}
