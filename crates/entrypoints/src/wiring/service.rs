//! The worker process: what it consists of and how the parts are joined.

use std::sync::Arc;

use async_trait::async_trait;
use database::Database;
use domain::failure::{Disconnection, Failure};
use domain::shop::MerchantId;
use importer::import::ImportSettings;
use importer::ports::clock::Clock;
use importer::ports::connections::{ConnectionState, Connections};
use importer::ports::platform::Platform as _;
use importer::ports::queue::{QueueName, QueueSettings};
use importer::ports::shops::{OpenShop, Shops};
use importer::stop::StopSignal;
use importer::sweep::{Sweep, SweepSettings};
use importer::worker::{Worker, WorkerPorts, WorkerSettings};
use salla_client::http::{http_client, token_client};
use salla_client::oauth::OAuth;
use salla_client::pacing::Budget;
use salla_client::tokens::{KeeperSettings, TokenKeeper, TokenSource};

use crate::config::AppSettings;
use crate::wiring::{self, Client, OpenDatabase, parse_url};

pub struct ServiceSettings {
    pub salla: AppSettings,
    /// Imports at once.
    pub jobs: usize,
    pub import: ImportSettings,
}

/// A worker with everything that goes on beside it.
pub struct Service {
    pub worker: Arc<Worker>,
    pub sweep: Arc<Sweep>,
}

impl Service {
    pub fn new(
        open: &OpenDatabase,
        settings: ServiceSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let shops = StoredShops::new(open, &settings, clock.clone())?;
        let ports = WorkerPorts {
            queue: Arc::new(open.database.queue(QueueName::HistoricalSync)),
            jobs: open.jobs(),
            runs: open.runs(),
            landing: open.landing(),
            shops: Arc::new(shops),
            clock: clock.clone(),
        };
        let worker = WorkerSettings {
            jobs: settings.jobs,
            max_attempts: QueueSettings::default().max_attempts,
            import: settings.import,
        };
        let sweep = Sweep {
            jobs: open.jobs(),
            clock,
            settings: SweepSettings::default(),
        };
        Ok(Self {
            worker: Arc::new(Worker::new(ports, worker)),
            sweep: Arc::new(sweep),
        })
    }

    /// Works until a stop is asked for and everything has been given back.
    pub async fn run(&self, stop: &StopSignal) {
        tokio::join!(self.worker.run(stop), self.sweep.run(stop));
    }
}

/// [`Shops`] with the tokens that the database keeps.
struct StoredShops {
    database: Database,
    connections: Arc<dyn Connections>,
    salla: AppSettings,
    http: reqwest::Client,
    token_http: reqwest::Client,
    customers: Arc<Budget>,
    share: f64,
    clock: Arc<dyn Clock>,
}

impl StoredShops {
    fn new(
        open: &OpenDatabase,
        settings: &ServiceSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            database: open.database.clone(),
            connections: open.connections()?,
            salla: settings.salla.clone(),
            http: http_client()?,
            token_http: token_client()?,
            customers: wiring::customers_budget_of(clock.clone()),
            share: settings.import.budget_share,
            clock,
        })
    }
}

#[async_trait]
impl Shops for StoredShops {
    async fn open(&self, merchant: MerchantId) -> Result<OpenShop, Failure> {
        let connection = self
            .connections
            .of_merchant(merchant)
            .await?
            .ok_or(Disconnection::NotConnected)?;
        if let ConnectionState::Disconnected { why } = connection.state {
            return Err(why.into());
        }
        let accounts_url = parse_url(&self.salla.accounts_url)?;
        let keeper = TokenKeeper::new(KeeperSettings {
            connections: self.connections.clone(),
            connection: connection.id,
            oauth: OAuth::new(self.token_http.clone(), accounts_url, self.clock.clone()),
            app: self.salla.credentials(),
            clock: self.clock.clone(),
        });
        let platform = wiring::client(Client {
            api_url: parse_url(&self.salla.api_url)?,
            http: self.http.clone(),
            share: self.share,
            clock: self.clock.clone(),
            tokens: TokenSource::Kept(keeper),
            customers: self.customers.clone(),
            not_before: wiring::after_the_last_request(
                &self.database,
                Some(merchant),
                self.clock.as_ref(),
            )
            .await?,
        });
        let shop = platform.shop_info().await?;
        platform.set_plan(&shop.plan);
        Ok(OpenShop { platform, shop })
    }
}
