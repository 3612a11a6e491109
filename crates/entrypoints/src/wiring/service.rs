//! The worker process: what it consists of and how the parts are joined.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use database::{Database, PostgresPrivacy};
use domain::failure::{Disconnection, Failure};
use domain::notification::Audience;
use domain::shop::MerchantId;
use futures::future::join_all;
use importer::admission::MemoryLimit;
use importer::changed_records::FetchChanged;
use importer::duties::{Duty, repeat};
use importer::freshness::Freshness;
use importer::import::ImportSettings;
use importer::notification_worker::NotificationWorker;
use importer::ports::clock::Clock;
use importer::ports::connections::{ConnectionState, Connections};
use importer::ports::notifications::{Alerts, Notifier};
use importer::ports::platform::{OpenShop, Platform as _, Shops};
use importer::ports::queue::{DeadLetters, QueueName};
use importer::stop::StopSignal;
use importer::sweeper::{Sweeper, SweeperSettings};
use importer::upkeep::Retention;
use importer::worker::{Worker, WorkerPorts, WorkerSettings};
use jiff::SignedDuration;
use notifiers::{Email, Log, Route, Webhook};
use salla_client::admission::RateLimiter;
use salla_client::http::{base_builder, http_clients, token_client, way_to};
use salla_client::oauth::OAuth;
use salla_client::tokens::{KeeperSettings, TokenKeeper, TokenSource};

use crate::config::{AppSettings, Channels, WebhookSettings};
use crate::wiring::shops::{
    ClientParts, build_client, earliest_next_request, require_shop, shared_customers_budget,
};
use crate::wiring::{OpenDatabase, Queues, forgetting};

/// Maximum number of attempts in a row without progress before a run ends FAILED.
const MOST_ATTEMPTS: u32 = 5;
/// SQS lets a message be held for twelve hours.
const LONGEST_TURN: Duration = Duration::from_secs(11 * 3_600);

pub struct ServiceSettings {
    pub salla: AppSettings,
    /// Concurrent imports.
    pub jobs: usize,
    /// Shops whose history is there are brought up to date once in this time.
    pub keep_fresh: Option<Duration>,
    /// How long a shop's data is kept after it removed the app; `None`: forever.
    pub retention: Option<SignedDuration>,
    pub import: ImportSettings,
    pub channels: Channels,
}

/// A worker with all background tasks beside it.
pub struct Service {
    pub worker: Arc<Worker>,
    pub sweep: Arc<Sweeper>,
    pub notification_worker: NotificationWorker,
    pub freshness: Option<Freshness>,
    pub changed: FetchChanged,
    pub retention: Option<Retention>,
    pub queues: Queues,
    clock: Arc<dyn Clock>,
}

impl Service {
    pub fn new(
        open: &OpenDatabase,
        settings: ServiceSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let shops: Arc<dyn Shops> = Arc::new(StoredShops::new(open, &settings, clock.clone())?);
        let changed = FetchChanged {
            records: Arc::new(open.database.records()),
            shops: shops.clone(),
            runs: open.runs(),
            clock: clock.clone(),
        };
        let ports = WorkerPorts {
            queue: open.queues.of(QueueName::HistoricalSync),
            jobs: open.jobs(),
            runs: open.runs(),
            landing: open.landing(),
            shops,
            clock: clock.clone(),
        };
        let worker = WorkerSettings {
            jobs: settings.jobs,
            max_attempts: MOST_ATTEMPTS,
            longest_turn: open.queues.are_remote().then_some(LONGEST_TURN),
            import: settings.import,
        };
        let (mut notifiers, alerts) = channels(&settings.channels, &clock)?;
        if let Some(email) = &settings.channels.email {
            let email = Email::new(email, open.contacts()?, clock.clone())?;
            notifiers.push(Arc::new(email));
        }
        let sweep = Sweeper {
            jobs: open.jobs(),
            dead_letters: QueueName::ALL
                .map(|name| (name, open.queues.of(name) as Arc<dyn DeadLetters>))
                .into(),
            alerts,
            clock: clock.clone(),
            settings: SweeperSettings::default(),
        };
        let freshness = settings.keep_fresh.map(|every| Freshness {
            starter: open.starter(clock.clone()),
            every,
        });
        let retention = settings.retention.map(|keep| Retention {
            shops: Arc::new(open.privacy()),
            audit: Arc::new(open.database.audit()),
            clock: clock.clone(),
            keep,
        });
        let notification_worker = NotificationWorker {
            queue: open.queues.of(QueueName::Notifications),
            store: Arc::new(open.database.notifications()),
            notifiers,
            clock: clock.clone(),
        };
        Ok(Self {
            worker: Arc::new(Worker::new(ports, worker)),
            sweep: Arc::new(sweep),
            notification_worker,
            freshness,
            changed,
            retention,
            queues: open.queues.clone(),
            clock,
        })
    }

    /// What is to be done again and again, whatever the messages are.
    pub fn duties(&self) -> Vec<&dyn Duty> {
        let Self {
            worker: _,
            sweep,
            notification_worker,
            freshness,
            changed,
            retention,
            queues: _,
            clock: _,
        } = self;
        let mut duties: Vec<&dyn Duty> = vec![&**sweep, notification_worker, changed];
        duties.extend(freshness.as_ref().map(|duty| duty as &dyn Duty));
        duties.extend(retention.as_ref().map(|duty| duty as &dyn Duty));
        duties
    }

    /// Works until a stop is requested and everything is released.
    pub async fn run(&self, stop: &StopSignal) {
        let clock = self.clock.as_ref();
        let duties = self.duties().into_iter();
        tokio::join!(
            self.worker.run(stop),
            self.notification_worker.run(stop),
            self.queues.forward_until(stop),
            join_all(duties.map(|duty| repeat(duty, clock, stop))),
        );
    }
}

pub(super) type ChannelAdapters = (Vec<Arc<dyn Notifier>>, Vec<Arc<dyn Alerts>>);

/// The log always, and the webhooks that are configured.
pub(super) fn channels(
    channels: &Channels,
    clock: &Arc<dyn Clock>,
) -> Result<ChannelAdapters, Failure> {
    let mut notifiers: Vec<Arc<dyn Notifier>> = vec![Arc::new(Log)];
    let mut alerts: Vec<Arc<dyn Alerts>> = vec![Arc::new(Log)];
    let webhook = |address: &WebhookSettings, audience| {
        let (url, secret) = (address.url.clone(), address.secret.clone());
        let route = Route {
            client: base_builder(),
            way: way_to(&url).map(|way| way.to_string()),
        };
        Webhook::new(audience, url, secret, route, clock.clone()).map(Arc::new)
    };
    if let Some(address) = &channels.merchants {
        notifiers.push(webhook(address, Audience::Merchant)?);
    }
    if let Some(address) = &channels.operators {
        let operators = webhook(address, Audience::Operator)?;
        notifiers.push(operators.clone());
        alerts.push(operators);
    }
    Ok((notifiers, alerts))
}

/// With HTTP/2 a client has one connection to Salla, which commonly lets a hundred requests
/// be in flight. A shop has up to 96, at the height of its burst, and mostly one.
fn http_client_count(jobs: usize) -> usize {
    jobs.div_ceil(8).clamp(1, 16)
}

/// [`Shops`] with the tokens that the database keeps.
struct StoredShops {
    database: Database,
    privacy: PostgresPrivacy,
    connections: Arc<dyn Connections>,
    salla: AppSettings,
    http: Vec<reqwest::Client>,
    token_http: reqwest::Client,
    customers: Arc<RateLimiter>,
    memory: MemoryLimit,
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
            privacy: open.privacy(),
            connections: open.connections()?,
            salla: settings.salla.clone(),
            http: http_clients(http_client_count(settings.jobs))?,
            token_http: token_client()?,
            customers: shared_customers_budget(open, &settings.salla.egress_group, clock.clone()),
            memory: settings.import.memory.clone(),
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
        let accounts_url = self.salla.accounts_url.clone();
        let keeper = TokenKeeper::new(KeeperSettings {
            connections: self.connections.clone(),
            connection: connection.id,
            oauth: OAuth::new(self.token_http.clone(), accounts_url, self.clock.clone()),
            app: self.salla.credentials(),
            clock: self.clock.clone(),
        });
        let platform = build_client(ClientParts {
            api_url: self.salla.api_url.clone(),
            http: self.http[merchant.0.as_u128() as usize % self.http.len()].clone(),
            share: self.share,
            clock: self.clock.clone(),
            tokens: TokenSource::Kept(keeper),
            customers: self.customers.clone(),
            memory: self.memory.clone(),
            not_before: earliest_next_request(&self.database, Some(merchant), self.clock.as_ref())
                .await?,
        });
        let shop = platform.shop_info().await?;
        let connections = self.connections.as_ref();
        require_shop(connections, connection.id, connection.salla_id, &shop).await?;
        platform.set_plan(&shop.plan);
        let platform = forgetting(&self.privacy, platform, merchant).await?;
        Ok(OpenShop { platform, shop })
    }
}
