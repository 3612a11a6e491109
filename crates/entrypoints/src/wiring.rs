//! The only place where adapters meet ports.

pub mod service;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use database::{BudgetKey, ConnectSettings, Database, KeyCheck, Keyring, SchemaState};
use domain::failure::Failure;
use domain::rejection::RejectionLimit;
use domain::shop::{MerchantId, ShopInfo};
use importer::import::ImportSettings;
use importer::memory::Memory;
use importer::ports::budgets::BudgetRules;
use importer::ports::clock::Clock;
use importer::ports::connections::{ConnectionId, Connections};
use importer::ports::inventory::Inventory;
use importer::ports::jobs::Jobs;
use importer::ports::landing::Landing;
use importer::ports::notifications::Inbox;
use importer::ports::platform::Platform;
use importer::ports::records::{StoredRecords, Translator};
use importer::ports::runs::Runs;
use importer::ports::traces::Traces;
use salla_client::http::{http_client, token_client};
use salla_client::oauth::OAuth;
use salla_client::pacing::Budget;
use salla_client::tokens::{KeeperSettings, TokenKeeper, TokenSource};
use salla_client::translate::StoredTexts;
use salla_client::{ClientSettings, SallaClient, customers_budget};
use secrecy::SecretString;

use crate::config::{AppSettings, DatabaseSettings, SallaSettings};
use crate::embedded::{self, Embedded};
use crate::exit::UsageError;

/// Another process may take a run over this long after the last heartbeat.
const LEASE: Duration = Duration::from_secs(60);
const MAX_WALKS: u32 = 4;

/// A database that answers, and the private server behind it, if that is what it is.
pub struct OpenDatabase {
    pub database: Database,
    pub embedded: Option<Embedded>,
    keyring: Option<Keyring>,
}

impl OpenDatabase {
    pub fn landing(&self) -> Arc<dyn Landing> {
        Arc::new(self.database.landing())
    }

    pub fn runs(&self) -> Arc<dyn Runs> {
        Arc::new(self.database.runs())
    }

    pub fn jobs(&self) -> Arc<dyn Jobs> {
        Arc::new(self.database.jobs())
    }

    /// The stored tokens, which only the key opens.
    pub fn connections(&self) -> Result<Arc<dyn Connections>, Failure> {
        let keyring = self.keyring.clone().ok_or_else(|| Failure::Bug {
            what: "stored tokens are needed but there is no key".to_owned(),
        })?;
        Ok(Arc::new(self.database.connections(keyring)))
    }

    pub fn records(&self) -> Arc<dyn StoredRecords> {
        Arc::new(self.database.records())
    }

    pub fn traces(&self) -> Arc<dyn Traces> {
        Arc::new(self.database.records())
    }

    pub fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(self.database.notifications())
    }

    pub fn inventory(&self) -> Arc<dyn Inventory> {
        Arc::new(self.database.records())
    }

    /// Refuses tables that this version does not know. A database of our own is
    /// brought up to date instead.
    pub async fn require_current_schema(&self) -> anyhow::Result<()> {
        match self.database.schema_state().await? {
            SchemaState::UpToDate => Ok(()),
            SchemaState::Behind { .. } if self.embedded.is_some() => {
                Ok(self.database.migrate().await?)
            }
            SchemaState::Behind { .. } => Err(UsageError::one(
                "salla-sync's tables are missing or of an older version; run `salla-sync migrate`",
            )
            .into()),
            SchemaState::Unknown => Err(UsageError::one(
                "a newer version of salla-sync has upgraded this database; use that version",
            )
            .into()),
        }
    }
}

/// How a process uses its connections.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    connections: u32,
    /// For how long work waits for a connection.
    patience: Duration,
}

impl Pool {
    /// Enough for one import and its display.
    pub const OF_A_COMMAND: Self = Self {
        connections: 8,
        patience: Duration::from_secs(10),
    };

    /// Many imports share few connections: waiting for one is no sign of trouble.
    pub fn of_a_worker(connections: u32) -> Self {
        Self {
            connections,
            patience: Duration::from_secs(60),
        }
    }
}

/// Connects; starts the private server first where that is wanted. Tables are not
/// touched.
pub async fn open_database(
    settings: &DatabaseSettings,
    key: Option<SecretString>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<OpenDatabase> {
    open_database_with(settings, key, clock, Pool::OF_A_COMMAND).await
}

/// As [`open_database`], with another use of connections.
pub async fn open_database_with(
    settings: &DatabaseSettings,
    key: Option<SecretString>,
    clock: Arc<dyn Clock>,
    pool: Pool,
) -> anyhow::Result<OpenDatabase> {
    let (url, embedded, key) = match settings {
        DatabaseSettings::Url(url) => (url.clone(), None, key),
        DatabaseSettings::Embedded { data_dir } => {
            let server = start_embedded(data_dir, clock.clone()).await?;
            let key = key.map_or_else(|| embedded::key(data_dir, new_key), Ok)?;
            (server.url().into(), Some(server), Some(key))
        }
    };
    let connect = ConnectSettings {
        max_connections: pool.connections,
        patience: pool.patience,
        ..ConnectSettings::new(url)
    };
    let database = Database::connect(connect, clock).await?;
    let wrong_key = |reason: String| UsageError::one(format!("SALLA_SYNC_KEY: {reason}"));
    let keyring = key
        .map(|key| Keyring::parse(&key))
        .transpose()
        .map_err(|error| wrong_key(error.to_string()))?;
    if let Some(keyring) = &keyring
        && database.schema_state().await? == SchemaState::UpToDate
    {
        let connections = database.connections(keyring.clone());
        match connections.check_key().await {
            Ok(()) => {}
            Err(KeyCheck::Mismatch(mismatch)) => return Err(wrong_key(mismatch.to_string()).into()),
            Err(KeyCheck::Database(failure)) => return Err(failure.into()),
        }
    }
    Ok(OpenDatabase {
        database,
        embedded,
        keyring,
    })
}

fn new_key() -> anyhow::Result<SecretString> {
    Ok(Keyring::generate()?.1)
}

async fn start_embedded(data_dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Embedded> {
    let (server, postgres) = embedded_server(data_dir, clock).await?;
    postgres.create_database(server.database()).await?;
    postgres.close().await;
    Ok(server)
}

/// Empties the private database: each demo is another Salla, and must not find what
/// an earlier one left.
pub async fn forget_embedded(data_dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Embedded> {
    let (server, postgres) = embedded_server(data_dir, clock).await?;
    postgres.drop_database(server.database()).await?;
    postgres.close().await;
    Ok(server)
}

async fn embedded_server(
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(Embedded, Database)> {
    let folder = data_dir.to_owned();
    let server = tokio::task::spawn_blocking(move || Embedded::start(&folder))
        .await
        .context("the private PostgreSQL")??;
    let maintenance = ConnectSettings::new(server.maintenance_url().into());
    let postgres = Database::connect(maintenance, clock).await?;
    Ok((server, postgres))
}

/// Reads kept texts as Salla's answers are read.
pub fn translator() -> Arc<dyn Translator> {
    Arc::new(StoredTexts)
}

/// A shop that answers, known to the database.
pub struct ConnectedShop {
    pub platform: Arc<SallaClient>,
    pub shop: ShopInfo,
    pub merchant: MerchantId,
}

/// Connects with the given tokens, or with those that they were renewed to since. Tokens
/// that can be renewed are stored.
pub async fn connect_shop(
    open: &OpenDatabase,
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
) -> Result<ConnectedShop, Failure> {
    let customers = shared_customers_budget(open, &settings.app.egress_group, clock.clone());
    connect_shop_with(open, settings, share, clock, customers).await
}

/// The same for one of many shops, which share the budget for customers.
pub async fn connect_shop_with(
    open: &OpenDatabase,
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
    customers: Arc<Budget>,
) -> Result<ConnectedShop, Failure> {
    if settings.tokens.refresh.is_some() {
        return connect_stored(open, settings, share, clock, customers).await;
    }
    let not_before = after_the_last_request(&open.database, None, clock.as_ref()).await?;
    let tokens = TokenSource::Fixed(settings.tokens.access.clone());
    let platform = client(Client {
        tokens,
        not_before,
        customers,
        ..Client::new(&settings.app, share, clock)?
    });
    meet(open, platform).await
}

/// The budget for customers of this process and of all others in the group. One for all
/// clients of the process: what it takes in one go serves many shops.
pub fn shared_customers_budget(
    open: &OpenDatabase,
    egress_group: &str,
    clock: Arc<dyn Clock>,
) -> Arc<Budget> {
    let key = BudgetKey {
        egress_group: egress_group.to_owned(),
        budget: "customers",
    };
    let shared = open.database.budget(key, BudgetRules::CUSTOMERS);
    let seed = seed(clock.as_ref());
    salla_client::shared_customers_budget(Arc::new(shared), clock, seed)
}

/// Connects and stores the tokens, whether they can be renewed or not, for workers to
/// use.
pub async fn connect_and_store(
    open: &OpenDatabase,
    settings: &SallaSettings,
    clock: Arc<dyn Clock>,
) -> Result<ConnectedShop, Failure> {
    let customers = shared_customers_budget(open, &settings.app.egress_group, clock.clone());
    connect_stored(open, settings, 1.0, clock, customers).await
}

/// Why a shop was not connected with the tokens of a webhook.
#[derive(Debug)]
pub enum NotConnected {
    Failure(Failure),
    /// By Salla's numbers: the tokens open another shop than the webhook names.
    OtherShop {
        named: i64,
        opened: i64,
    },
}

impl From<Failure> for NotConnected {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// As [`connect_and_store`], but only if the tokens are those of the shop with this number
/// of Salla's.
pub async fn connect_authorized(
    open: &OpenDatabase,
    settings: &SallaSettings,
    salla_id: i64,
    clock: Arc<dyn Clock>,
) -> Result<ConnectedShop, NotConnected> {
    let customers = shared_customers_budget(open, &settings.app.egress_group, clock.clone());
    let stored = store(open, settings, 1.0, clock, customers).await?;
    let shop = stored.platform.shop_info().await?;
    if shop.salla_id != salla_id {
        return Err(NotConnected::OtherShop {
            named: salla_id,
            opened: shop.salla_id,
        });
    }
    Ok(stored.bind(open, shop).await?)
}

async fn connect_stored(
    open: &OpenDatabase,
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
    customers: Arc<Budget>,
) -> Result<ConnectedShop, Failure> {
    let stored = store(open, settings, share, clock, customers).await?;
    let shop = stored.platform.shop_info().await?;
    stored.bind(open, shop).await
}

/// Tokens that are stored and not yet known to be a shop's.
struct StoredTokens {
    connections: Arc<dyn Connections>,
    connection: ConnectionId,
    platform: Arc<SallaClient>,
}

impl StoredTokens {
    async fn bind(self, open: &OpenDatabase, shop: ShopInfo) -> Result<ConnectedShop, Failure> {
        let connected = introduce(open, self.platform, shop).await?;
        self.connections
            .bind(self.connection, connected.merchant)
            .await?;
        Ok(connected)
    }
}

async fn store(
    open: &OpenDatabase,
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
    customers: Arc<Budget>,
) -> Result<StoredTokens, Failure> {
    let connections = open.connections()?;
    let connection = connections.open(&settings.tokens).await?;
    let tokens = TokenSource::Kept(TokenKeeper::new(KeeperSettings {
        connections: connections.clone(),
        connection: connection.id,
        oauth: OAuth::new(
            token_client()?,
            parse_url(&settings.app.accounts_url)?,
            clock.clone(),
        ),
        app: settings.app.credentials(),
        clock: clock.clone(),
    }));
    // Tokens that are new here have asked Salla for nothing yet.
    let not_before = match connection.merchant {
        Some(merchant) => {
            after_the_last_request(&open.database, Some(merchant), clock.as_ref()).await?
        }
        None => None,
    };
    let platform = client(Client {
        tokens,
        not_before,
        customers,
        ..Client::new(&settings.app, share, clock)?
    });
    Ok(StoredTokens {
        connections,
        connection: connection.id,
        platform,
    })
}

/// An exhausted budget allows one request a second (FACTS §6). A process that was
/// stopped less than a second ago may have used this one up, for the given merchant or,
/// where Salla has yet to say whose tokens these are, for any.
async fn after_the_last_request(
    database: &Database,
    merchant: Option<MerchantId>,
    clock: &dyn Clock,
) -> Result<Option<Duration>, Failure> {
    let Some(last) = database.last_progress(merchant).await? else {
        return Ok(None);
    };
    let second = Duration::from_secs(1);
    let since = clock.now().duration_since(last);
    let since = Duration::try_from(since).unwrap_or_default();
    Ok((since < second).then(|| clock.monotonic() + (second - since)))
}

/// Asks who the shop is, and makes it known to the database.
async fn meet(open: &OpenDatabase, platform: Arc<SallaClient>) -> Result<ConnectedShop, Failure> {
    let shop = platform.shop_info().await?;
    introduce(open, platform, shop).await
}

async fn introduce(
    open: &OpenDatabase,
    platform: Arc<SallaClient>,
    shop: ShopInfo,
) -> Result<ConnectedShop, Failure> {
    let merchant = open.runs().ensure_merchant(&shop).await?;
    platform.set_plan(&shop.plan);
    Ok(ConnectedShop {
        platform,
        shop,
        merchant,
    })
}

/// A client that stores no token and renews none: for commands that only look. Of customers
/// they ask for a page or two, which is not worth a database.
pub fn unstored_client(
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
) -> Result<Arc<SallaClient>, Failure> {
    let tokens = TokenSource::Fixed(settings.tokens.access.clone());
    Ok(client(Client {
        tokens,
        ..Client::new(&settings.app, share, clock)?
    }))
}

/// What a client of one shop is made of.
struct Client {
    api_url: url::Url,
    http: reqwest::Client,
    share: f64,
    clock: Arc<dyn Clock>,
    tokens: TokenSource,
    customers: Arc<Budget>,
    memory: Memory,
    not_before: Option<Duration>,
}

impl Client {
    /// Without tokens, and with a budget for customers that nobody else knows of.
    fn new(app: &AppSettings, share: f64, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Ok(Self {
            api_url: parse_url(&app.api_url)?,
            http: http_client()?,
            share,
            tokens: TokenSource::Fixed(SecretString::default()),
            customers: customers_budget(clock.clone(), seed(clock.as_ref())),
            memory: Memory::default(),
            not_before: None,
            clock,
        })
    }
}

fn client(parts: Client) -> Arc<SallaClient> {
    let rng_seed = seed(parts.clock.as_ref());
    let mut settings = ClientSettings::new(
        parts.api_url,
        parts.http,
        parts.clock,
        parts.tokens,
        parts.customers,
    );
    settings.share = parts.share;
    settings.not_before = parts.not_before;
    settings.memory = parts.memory;
    settings.rng_seed = rng_seed;
    Arc::new(SallaClient::new(settings))
}

/// Jitter must differ between processes that start together; nothing else hangs on
/// it.
fn seed(clock: &dyn Clock) -> u64 {
    let nanoseconds = clock.now().as_nanosecond();
    (nanoseconds as u64) ^ (u64::from(std::process::id()) << 32)
}

fn parse_url(text: &str) -> Result<url::Url, Failure> {
    url::Url::parse(text).map_err(|_| Failure::Bug {
        what: "an address was accepted although it is no URL".to_owned(),
    })
}

/// The settings of an import that uses `share` of Salla's budget.
pub fn import_settings(share: f64) -> ImportSettings {
    ImportSettings {
        owner: format!("process {} on {}", std::process::id(), host_name()),
        lease: LEASE,
        budget_share: share,
        rejection_limit: RejectionLimit::default(),
        max_walks: MAX_WALKS,
        memory: Memory::default(),
    }
}

fn host_name() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .map_or_else(|| "this machine".to_owned(), |name| name.trim().to_owned())
}

/// Returns at Ctrl-C or SIGTERM.
pub async fn termination() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be caught; Ctrl-C can");
            drop(interrupt.await);
        }
    }
}
