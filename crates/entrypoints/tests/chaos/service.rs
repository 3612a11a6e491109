//! A service under chaos: a simulator and a database, and imports that each begin as
//! a new process would.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use database::testing::{FreezingProxy, TestDatabase};
use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::shop::MerchantId;
use domain::window::DayRange;
use entrypoints::commands::demo::salla_settings;
use entrypoints::config::{DatabaseSettings, SallaSettings};
use entrypoints::wiring::{self, OpenDatabase};
use importer::import::progress::ProgressTracker;
use importer::import::{ImportOutcome, ImportSettings, Importer, Reading, import};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::queue::{Queue as _, QueueName};
use importer::ports::runs::{Run, RunOptions};
use importer::stop::stop_pair;
use jiff::SignedDuration;
use salla_simulator::{ResourceDrift, Scenario, Simulator};
use sqlx::PgPool;

use crate::case::FIRST;
use crate::disruption::Disruption;
use crate::plan::{FAR_OFF, Plan};
use crate::ports::Trapped;
use crate::server::OwnServer;
use crate::support::KEY;
use crate::trap::Trap;

pub(crate) struct Service {
    pub(crate) simulator: Simulator,
    pub(crate) place: DatabaseServer,
    clock: Arc<dyn Clock>,
    options: RunOptions,
    starts: AtomicU64,
    /// How far the machine's clock was set, in seconds.
    stepped: Arc<AtomicI64>,
    /// The tokens of shops that have installed the app again.
    reinstalled: Mutex<HashMap<usize, (String, String)>>,
}

fn ordinary_options() -> RunOptions {
    RunOptions {
        months: 12,
        max_orders: None,
        keep_raw: true,
        only: None,
    }
}

/// Where the database is.
pub(crate) enum DatabaseServer {
    Shared(TestDatabase),
    Behind(TestDatabase, FreezingProxy),
    Own(Box<OwnServer>),
}

impl DatabaseServer {
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Shared(database) => database.url(),
            Self::Behind(_, proxy) => proxy.url(),
            Self::Own(server) => server.url(),
        }
    }

    /// For looking from outside while imports work.
    pub(crate) fn pool(&self) -> &PgPool {
        match self {
            Self::Shared(database) | Self::Behind(database, _) => database.pool(),
            Self::Own(server) => server.pool(),
        }
    }
}

impl Service {
    pub(crate) async fn start(plan: &Plan, place: DatabaseServer) -> Self {
        let options = RunOptions {
            months: plan.months,
            keep_raw: plan.keep_raw,
            ..ordinary_options()
        };
        let mut service = Self::with(plan.scenario.clone(), options, place).await;
        if matches!(plan.disruption, Disruption::ClockSteps { .. }) {
            let (machine, stepped) = (SystemClock::real(), service.stepped.clone());
            let machine = move || {
                let seconds = stepped.load(Ordering::Relaxed);
                machine.now() + SignedDuration::from_secs(seconds)
            };
            service.clock = Arc::new(SystemClock::following(machine));
        }
        service
    }

    /// The clock of the import's machine is set.
    pub(crate) fn step_clock(&self, seconds: i64) {
        self.stepped.fetch_add(seconds, Ordering::Relaxed);
    }

    /// An ordinary import of this shop.
    pub(crate) async fn of(scenario: Scenario, place: DatabaseServer) -> Self {
        Self::with(scenario, ordinary_options(), place).await
    }

    async fn with(scenario: Scenario, options: RunOptions, place: DatabaseServer) -> Self {
        let clock = scenario.clock;
        let simulator = Simulator::start(scenario).await.unwrap();
        Self {
            clock: Arc::new(SystemClock::scaled(clock.start, clock.scale)),
            simulator,
            place,
            starts: AtomicU64::new(0),
            options,
            stepped: Arc::default(),
            reinstalled: Mutex::default(),
        }
    }

    /// Connects the shop and starts its import for workers to take on.
    pub(crate) async fn start_as_a_job(&self) -> Run {
        let open = self.open().await.unwrap();
        let salla = self.salla(FIRST);
        let connected = wiring::connect_and_store(&open, &salla, self.clock.clone());
        let merchant = connected.await.unwrap().merchant;
        let today = domain::instant::riyadh_date(self.clock.now());
        let range = DayRange::last_months(today, self.options.months);
        let jobs = open.jobs();
        jobs.start(merchant, &self.options, range)
            .await
            .unwrap()
            .run
    }

    /// Puts a message on the queue of imports.
    pub(crate) async fn send(&self, body: &str) {
        let open = self.open().await.unwrap();
        let queue = open.database.queue(QueueName::HistoricalSync);
        queue.send(body, Duration::ZERO).await.unwrap();
    }

    /// One start of the program, as the program would do it.
    pub(crate) async fn import(
        &self,
        trap: Arc<Trap>,
        again: bool,
    ) -> Result<ImportOutcome, Failure> {
        self.import_shop(FIRST, trap, again).await
    }

    pub(crate) async fn import_shop(
        &self,
        shop: usize,
        trap: Arc<Trap>,
        again: bool,
    ) -> Result<ImportOutcome, Failure> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let open = self.open().await?;
        // Boxed: a case holds several of them, and a thread's stack is small.
        let outcome = Box::pin(self.import_with(&open, self.salla(shop), trap, again)).await;
        open.database.close().await;
        outcome
    }

    async fn open(&self) -> Result<OpenDatabase, Failure> {
        let settings = DatabaseSettings::Url(self.place.url().into());
        let opened =
            wiring::open_database(&settings, Some(KEY.to_owned().into()), self.clock.clone());
        opened.await.map_err(|error| match error.downcast() {
            Ok(failure) => failure,
            Err(error) => Failure::Bug {
                message: format!("the database did not open: {error:#}"),
            },
        })
    }

    async fn import_with(
        &self,
        open: &OpenDatabase,
        salla: SallaSettings,
        trap: Arc<Trap>,
        again: bool,
    ) -> Result<ImportOutcome, Failure> {
        let settings = ImportSettings {
            // Leases run on the database's clock, which is not scaled.
            lease: Duration::from_secs(3_600),
            ..wiring::import_settings(1.0)
        };
        let connected =
            wiring::connect_shop(open, &salla, settings.budget_share, self.clock.clone()).await?;
        let importer = Importer {
            platform: Arc::new(Trapped {
                port: connected.platform as Arc<_>,
                trap: trap.clone(),
            }),
            landing: Arc::new(Trapped {
                port: open.landing(),
                trap: trap.clone(),
            }),
            runs: Arc::new(Trapped {
                port: open.runs(),
                trap,
            }),
            clock: self.clock.clone(),
            tracker: Arc::new(ProgressTracker::new().0),
            settings,
        };
        let (_handle, stop) = stop_pair();
        let reading = match again {
            true => Reading::Everything,
            false => Reading::Changes,
        };
        import(
            &importer,
            &connected.shop,
            &self.options,
            reading,
            &(),
            stop,
        )
        .await
    }

    /// How many imports have been begun.
    pub(crate) fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// Whether the shop keeps changing, independently of requests.
    pub(crate) fn is_restless(&self) -> bool {
        let drift = self.simulator.scenario().drift;
        let of = [drift.orders, drift.customers, drift.products];
        let changes = |d: &ResourceDrift| d.arrive_every + d.edit_every + d.delete_every > 0;
        of.iter().any(|d| changes(d) && d.until_request == 0)
    }

    pub(crate) fn lies_beyond_settling(&self) -> bool {
        self.simulator.scenario().lists.orders.total_off >= FAR_OFF
    }

    pub(crate) fn months(&self) -> u16 {
        self.options.months
    }

    pub(crate) fn keeps_raw(&self) -> bool {
        self.options.keep_raw
    }

    /// What an import of this shop is given.
    fn salla(&self, shop: usize) -> SallaSettings {
        let mut settings = salla_settings(&self.simulator);
        let tokens = match self.reinstalled.lock().unwrap().get(&shop) {
            Some(tokens) => tokens.clone(),
            None => {
                let shop = &self.simulator.shops()[shop];
                let (access, refresh) = (shop.access_token(), shop.refresh_token());
                (access.to_owned(), refresh.to_owned())
            }
        };
        settings.tokens.access = tokens.0.into();
        settings.tokens.refresh = Some(tokens.1.into());
        settings
    }

    /// The merchant installs the app again, which gives new tokens.
    pub(crate) fn install_again(&self, shop: usize) {
        let tokens = self.simulator.shops()[shop].install_again();
        self.reinstalled.lock().unwrap().insert(shop, tokens);
    }

    /// The lease of the dead runs out, without waiting for it.
    pub(crate) async fn expire_leases(&self) {
        sqlx::query("UPDATE salla_sync.sync_runs SET lease_until = now()")
            .execute(self.place.pool())
            .await
            .unwrap();
    }

    /// The merchant and the certificate of the run that completed.
    pub(crate) async fn certificate(&self) -> Option<(MerchantId, Certificate)> {
        self.certificate_of(FIRST).await
    }

    pub(crate) async fn certificate_of(&self, shop: usize) -> Option<(MerchantId, Certificate)> {
        let open = self.open().await.unwrap();
        let salla_id = self.simulator.shops()[shop].merchant_id();
        let runs = open.runs().list().await.unwrap();
        let (shop, run) = runs
            .into_iter()
            .find(|(shop, _)| shop.salla_id == salla_id)?;
        Some((shop.merchant, run?.certificate?))
    }
}
