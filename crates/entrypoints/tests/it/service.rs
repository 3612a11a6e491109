//! A service under test: a separate database, a simulator, and both clocks running at the same
//! pace.

use std::sync::Arc;
use std::time::Duration;

use database::testing::TestDatabase;
use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::shop::{MerchantId, ShopInfo};
use domain::window::DayRange;
use entrypoints::commands::demo::salla_settings;
use entrypoints::config::{DatabaseSettings, SallaSettings};
use entrypoints::truth_check;
use entrypoints::wiring::{self, OpenDatabase};
use importer::import::progress::ProgressTracker;
use importer::import::{ImportOutcome, ImportSettings, Importer, Observer, Reading, import};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::platform::Platform;
use importer::ports::runs::RunOptions;
use importer::stop::{StopSignal, stop_pair};
use salla_simulator::{Scenario, Simulator};

use crate::support::KEY;

pub(crate) struct TestService {
    pub(crate) simulator: Simulator,
    pub(crate) database: TestDatabase,
    pub(crate) open: OpenDatabase,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: ImportSettings,
    pub(crate) options: RunOptions,
}

pub(crate) struct Connected {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) shop: ShopInfo,
    pub(crate) merchant: MerchantId,
}

impl TestService {
    pub(crate) async fn start(scenario: Scenario) -> Self {
        let database = TestDatabase::create().await;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(
            scenario.clock.start,
            scenario.clock.scale,
        ));
        let settings = DatabaseSettings::Url(database.url().into());
        let key = Some(KEY.to_owned().into());
        let open = wiring::open_database(&settings, key, clock.clone())
            .await
            .expect("the test database opens");
        let simulator = Simulator::start(scenario)
            .await
            .expect("the simulator starts");
        Self {
            simulator,
            database,
            open,
            clock,
            settings: ImportSettings {
                // Leases run on the database's clock, which is not scaled.
                lease: Duration::from_secs(3_600),
                ..wiring::import_settings(1.0)
            },
            options: RunOptions {
                months: 12,
                max_orders: None,
                keep_raw: true,
                only: None,
            },
        }
    }

    pub(crate) fn salla(&self) -> SallaSettings {
        salla_settings(&self.simulator)
    }

    pub(crate) async fn connect(&self) -> Connected {
        self.connect_with(&self.salla()).await
    }

    pub(crate) async fn connect_with(&self, salla: &SallaSettings) -> Connected {
        self.try_to_connect(salla).await.expect("the shop connects")
    }

    pub(crate) async fn try_to_connect(&self, salla: &SallaSettings) -> Result<Connected, Failure> {
        let share = self.settings.budget_share;
        let connected = wiring::connect_shop(&self.open, salla, share, self.clock.clone()).await?;
        Ok(Connected {
            platform: connected.platform,
            shop: connected.shop,
            merchant: connected.merchant,
        })
    }

    pub(crate) async fn import(&self) -> (MerchantId, ImportOutcome) {
        let (_handle, stop) = stop_pair();
        self.import_until(stop).await
    }

    pub(crate) async fn import_until(&self, stop: StopSignal) -> (MerchantId, ImportOutcome) {
        let connected = self.connect().await;
        let merchant = connected.merchant;
        (merchant, self.import_with(connected, stop).await)
    }

    pub(crate) async fn import_with(
        &self,
        connected: Connected,
        stop: StopSignal,
    ) -> ImportOutcome {
        self.import_watched(connected, &(), stop).await
    }

    pub(crate) async fn import_watched(
        &self,
        connected: Connected,
        observer: &dyn Observer,
        stop: StopSignal,
    ) -> ImportOutcome {
        let importer = Importer {
            platform: connected.platform,
            landing: self.open.landing(),
            runs: self.open.runs(),
            clock: self.clock.clone(),
            tracker: Arc::new(ProgressTracker::new().0),
            settings: self.settings.clone(),
        };
        let (shop, options) = (&connected.shop, &self.options);
        import(&importer, shop, options, Reading::Changes, observer, stop)
            .await
            .expect("the database answers")
    }

    /// Imports to the end and compares every table with the simulator's truth.
    pub(crate) async fn import_and_compare(&self) -> Certificate {
        let (merchant, outcome) = self.import().await;
        let certificate = completed(outcome);
        self.compare(merchant, &certificate).await;
        certificate
    }

    pub(crate) async fn compare(&self, merchant: MerchantId, certificate: &Certificate) {
        let truth = self.simulator.shop();
        let pool = self.open.database.pool();
        let differences = truth_check::differences(pool, merchant, certificate, &truth)
            .await
            .expect("the tables can be read");
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        assert_eq!(self.simulator.ledger().refresh_reuses, 0);
    }

    pub(crate) async fn compare_rows(&self, merchant: MerchantId, range: DayRange) -> Vec<String> {
        let truth = self.simulator.shop();
        let pool = self.open.database.pool();
        truth_check::rows(pool, merchant, &truth, range)
            .await
            .expect("the tables can be read")
    }
}

pub(crate) fn completed(outcome: ImportOutcome) -> Certificate {
    match outcome {
        ImportOutcome::Completed(certificate) => *certificate,
        other => panic!("the import did not complete: {other:?}"),
    }
}
