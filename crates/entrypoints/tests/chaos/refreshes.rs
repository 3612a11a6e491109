//! Refreshes of the same tokens by many callers in many processes that are killed, by the
//! simulator's ledger: a refresh token is presented a second time only where a process died,
//! and never a third time.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use database::testing::TestDatabase;
use entrypoints::config::{AppKeys, AppSettings, DatabaseSettings, SallaSettings};
use entrypoints::wiring::{self, OpenDatabase};
use futures::future::join_all;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::connections::{ConnectionId, Tokens};
use salla_client::http::token_client;
use salla_client::oauth::{AppCredentials, OAuth};
use salla_client::tokens::{KeeperSettings, TokenKeeper};
use salla_simulator::{Scenario, ShopHandle, ShopSpec, Simulator};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::number;
use crate::support::KEY;

const SHOPS: u64 = 4;
const PROCESSES: usize = 3;
/// Of each shop in each process.
const CALLERS: usize = 8;
/// So that no process waits a minute for one that is gone. A process that a busy machine holds up
/// for a third of a second counts as gone, too.
const FAST: f64 = 200.0;
const BETWEEN_KILLS: Duration = Duration::from_millis(700);
const LIMIT: Duration = Duration::from_secs(3_600);
/// Minimum number of processes that die.
const MIN_KILLS: u64 = 3;
/// How a process gets its commands.
const TASK: &str = "SALLA_CHAOS_REFRESHER";

#[derive(Serialize, Deserialize)]
struct Task {
    database: String,
    salla: String,
    client_id: String,
    client_secret: String,
    connections: Vec<Uuid>,
    now: jiff::Timestamp,
    scale: f64,
}

/// A process of the test below, which kills it at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the test below starts it"]
async fn a_process_that_refreshes() {
    let Some(task) = task() else {
        return;
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(task.now, task.scale));
    let open = open(&task.database, clock.clone()).await;
    let accounts = task.salla.parse().unwrap();
    let oauth = OAuth::new(token_client().unwrap(), accounts, clock.clone());
    let app = AppCredentials {
        client_id: task.client_id,
        client_secret: task.client_secret.into(),
    };
    let shops = task.connections.iter().map(|id| {
        let keeper = TokenKeeper::new(KeeperSettings {
            connections: open.connections().unwrap(),
            connection: ConnectionId(*id),
            oauth: oauth.clone(),
            app: Some(app.clone()),
            clock: clock.clone(),
        });
        refresh_for_ever(keeper, clock.clone())
    });
    join_all(shops).await;
}

/// Concurrent callers find that their token is refused, again and again.
async fn refresh_for_ever(keeper: Arc<TokenKeeper>, clock: Arc<dyn Clock>) {
    loop {
        let refused = (0..CALLERS).map(|_| async {
            let token = keeper.current().await?;
            keeper.rejected(&token).await
        });
        let refreshed = join_all(refused).await;
        if refreshed.iter().all(Result::is_err) {
            // Until the merchant has installed the app again.
            clock.sleep(Duration::from_secs(10)).await;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process gets its commands from its environment"
)]
fn task() -> Option<Task> {
    let text = std::env::var(TASK).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

async fn open(database: &str, clock: Arc<dyn Clock>) -> OpenDatabase {
    let settings = DatabaseSettings::Url(database.to_owned().into());
    let key = Some(KEY.to_owned().into());
    wiring::open_database(&settings, key, clock).await.unwrap()
}

struct Processes {
    task: String,
    running: Vec<Child>,
}

impl Processes {
    fn start(&mut self) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "refreshes::a_process_that_refreshes",
                "--ignored",
                "--nocapture",
            ])
            .env(TASK, &self.task)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.running.push(child);
    }

    fn kill_the_oldest(&mut self) {
        let mut oldest = self.running.remove(0);
        oldest.kill().unwrap();
        oldest.wait().unwrap();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for mut child in self.running.drain(..) {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Shops, and processes that refresh their tokens.
struct World {
    simulator: Simulator,
    database: TestDatabase,
    open: OpenDatabase,
    clock: Arc<dyn Clock>,
    processes: Processes,
}

impl World {
    async fn start(scale: f64) -> Self {
        let shop = ShopSpec {
            orders: 1,
            customers: 1,
            products: 1,
            ..ShopSpec::default()
        };
        let mut scenario = Scenario {
            shops: vec![shop.clone(); SHOPS as usize - 1],
            shop,
            ..Scenario::default()
        };
        scenario.clock.scale = scale;
        let simulator = Simulator::start(scenario).await.unwrap();
        let database = TestDatabase::create().await;
        let now = simulator.clock().now();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(now, scale));
        let open = open(&database.url(), clock.clone()).await;
        for shop in &simulator.shops() {
            let tokens = (
                shop.access_token().to_owned(),
                shop.refresh_token().to_owned(),
            );
            connect(&open, &simulator, tokens, &clock).await;
        }
        let sql = "SELECT id FROM salla_sync.connections";
        let connections = sqlx::query_scalar(sql).fetch_all(database.pool());
        let task = Task {
            database: database.url(),
            salla: simulator.accounts_url(),
            client_id: simulator.client_id().to_owned(),
            client_secret: simulator.client_secret().to_owned(),
            connections: connections.await.unwrap(),
            now,
            scale,
        };
        let mut processes = Processes {
            task: serde_json::to_string(&task).unwrap(),
            running: Vec::new(),
        };
        for _ in 0..PROCESSES {
            processes.start();
        }
        Self {
            simulator,
            database,
            open,
            clock,
            processes,
        }
    }
}

fn wanted() -> u64 {
    number("SALLA_CHAOS_REFRESHES").unwrap_or(20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_no_process_dies_no_refresh_token_is_presented_twice() {
    let world = World::start(1.0).await;
    let began = tokio::time::Instant::now();
    while world.simulator.ledger().refreshes < wanted() {
        assert!(began.elapsed() < LIMIT, "{:?}", world.simulator.ledger());
        SystemClock::real().sleep(Duration::from_millis(50)).await;
    }
    let ledger = world.simulator.ledger();
    assert_eq!(
        (ledger.refresh_reuses, ledger.max_presentations_of_a_token),
        (0, 1),
        "{ledger:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_is_presented_again_only_where_a_process_died() {
    let World {
        simulator,
        database: _database,
        open,
        clock,
        mut processes,
    } = World::start(FAST).await;
    let shops = simulator.shops();
    let began = tokio::time::Instant::now();
    let (mut killed, mut last) = (0_u64, tokio::time::Instant::now());
    while simulator.ledger().refreshes < wanted() || killed < MIN_KILLS {
        assert!(began.elapsed() < LIMIT, "{:?}", simulator.ledger());
        SystemClock::real().sleep(Duration::from_millis(50)).await;
        if last.elapsed() >= BETWEEN_KILLS {
            (last, killed) = (tokio::time::Instant::now(), killed + 1);
            processes.kill_the_oldest();
            processes.start();
        }
        install_again_where_lost(&open, &simulator, &shops, &clock).await;
    }
    drop(processes);
    let ledger = simulator.ledger();
    println!(
        "{} refreshes, {killed} processes killed, {} tokens presented again",
        ledger.refreshes, ledger.refresh_reuses
    );
    let most = ledger.max_presentations_of_a_token;
    assert!(most <= 2, "{ledger:?}");
    // A process that dies between the response and its commit takes the new tokens with it. What
    // was presented is presented one last time then (decision 5).
    let most_in_the_middle = killed + PROCESSES as u64;
    assert!(
        ledger.refresh_reuses <= most_in_the_middle * SHOPS,
        "{ledger:?}"
    );
}

async fn connect(
    open: &OpenDatabase,
    simulator: &Simulator,
    (access, refresh): (String, String),
    clock: &Arc<dyn Clock>,
) {
    let salla = SallaSettings {
        app: AppSettings {
            api_url: simulator.api_url().parse().unwrap(),
            accounts_url: simulator.accounts_url().parse().unwrap(),
            egress_group: "default".to_owned(),
            keys: Some(AppKeys {
                client_id: simulator.client_id().to_owned(),
                client_secret: simulator.client_secret().into(),
            }),
        },
        tokens: Tokens {
            access: access.into(),
            refresh: Some(refresh.into()),
            expires_at: None,
            scope: None,
        },
    };
    wiring::connect_and_store(open, &salla, clock.clone())
        .await
        .unwrap();
}

const LOST: &str = "
    SELECT m.salla_id FROM salla_sync.connections c JOIN salla_sync.merchants m ON m.id = c.merchant_id
    WHERE c.is_current AND c.state = 'DISCONNECTED'";

/// What a merchant does whose shop is disconnected.
async fn install_again_where_lost(
    open: &OpenDatabase,
    simulator: &Simulator,
    shops: &[ShopHandle],
    clock: &Arc<dyn Clock>,
) {
    let lost: Vec<i64> = sqlx::query_scalar(LOST)
        .fetch_all(open.database.pool())
        .await
        .unwrap();
    for shop in shops
        .iter()
        .filter(|shop| lost.contains(&shop.merchant_id()))
    {
        connect(open, simulator, shop.install_again(), clock).await;
    }
}
