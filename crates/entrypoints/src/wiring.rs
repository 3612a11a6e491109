//! The only place where adapters meet ports.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use database::{ConnectSettings, Database, KeyCheck, Keyring, SchemaState};
use domain::failure::Failure;
use domain::rejection::RejectionLimit;
use domain::shop::{MerchantId, ShopInfo};
use importer::import::ImportSettings;
use importer::ports::clock::Clock;
use importer::ports::connections::{Connections, Tokens};
use importer::ports::inventory::Inventory;
use importer::ports::landing::Landing;
use importer::ports::platform::Platform;
use importer::ports::records::{StoredRecords, Translator};
use importer::ports::runs::Runs;
use importer::ports::traces::Traces;
use salla_client::http::{http_client, token_client};
use salla_client::oauth::{AppCredentials, OAuth};
use salla_client::tokens::{KeeperSettings, TokenKeeper, TokenSource};
use salla_client::translate::StoredTexts;
use salla_client::{ClientSettings, SallaClient, customers_budget};
use secrecy::SecretString;

use crate::config::{DatabaseSettings, SallaSettings};
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

    pub fn records(&self) -> Arc<dyn StoredRecords> {
        Arc::new(self.database.records())
    }

    pub fn traces(&self) -> Arc<dyn Traces> {
        Arc::new(self.database.records())
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

/// Connects; starts the private server first where that is wanted. Tables are not
/// touched.
pub async fn open_database(
    settings: &DatabaseSettings,
    key: Option<SecretString>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<OpenDatabase> {
    let (url, embedded, key) = match settings {
        DatabaseSettings::Url(url) => (url.clone(), None, key),
        DatabaseSettings::Embedded { data_dir } => {
            let server = start_embedded(data_dir, clock.clone()).await?;
            let key = key.map_or_else(|| embedded::key(data_dir, new_key), Ok)?;
            (server.url().into(), Some(server), Some(key))
        }
    };
    let database = Database::connect(ConnectSettings::new(url), clock).await?;
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

/// Connects with the given tokens, or with those that they were renewed to since.
pub async fn connect_shop(
    open: &OpenDatabase,
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
) -> Result<ConnectedShop, Failure> {
    let not_before = after_the_last_request(open, clock.as_ref()).await?;
    let Some(refresh) = &settings.tokens.refresh else {
        let tokens = TokenSource::Fixed(settings.tokens.access.clone());
        let platform = client(settings, share, clock, tokens, not_before)?;
        return meet(open, platform).await;
    };
    let keyring = open.keyring.clone().ok_or_else(|| Failure::Bug {
        what: "tokens are to be stored but there is no key".to_owned(),
    })?;
    let connections: Arc<dyn Connections> = Arc::new(open.database.connections(keyring));
    let given = Tokens {
        access: settings.tokens.access.clone(),
        refresh: Some(refresh.token.clone()),
        expires_at: None,
        scope: None,
    };
    let connection = connections.open(&given).await?;
    let accounts_url = parse_url(&settings.accounts_url)?;
    let keeper = TokenKeeper::new(KeeperSettings {
        connections: connections.clone(),
        connection: connection.id,
        oauth: OAuth::new(token_client()?, accounts_url, clock.clone()),
        app: Some(AppCredentials {
            client_id: refresh.client_id.clone(),
            client_secret: refresh.client_secret.clone(),
        }),
        clock: clock.clone(),
    });
    let tokens = TokenSource::Kept(keeper);
    let platform = client(settings, share, clock, tokens, not_before)?;
    let connected = meet(open, platform).await?;
    connections.bind(connection.id, connected.merchant).await?;
    Ok(connected)
}

/// An exhausted budget allows one request a second (FACTS §6). A process that was
/// stopped less than a second ago may have used this one up.
async fn after_the_last_request(
    open: &OpenDatabase,
    clock: &dyn Clock,
) -> Result<Option<Duration>, Failure> {
    let Some(last) = open.database.last_progress().await? else {
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
    let merchant = open.runs().ensure_merchant(&shop).await?;
    platform.set_plan(&shop.plan);
    Ok(ConnectedShop {
        platform,
        shop,
        merchant,
    })
}

/// A client that stores no token and renews none: for commands that only look.
pub fn unstored_client(
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
) -> Result<Arc<SallaClient>, Failure> {
    let tokens = TokenSource::Fixed(settings.tokens.access.clone());
    client(settings, share, clock, tokens, None)
}

fn client(
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
    tokens: TokenSource,
    not_before: Option<Duration>,
) -> Result<Arc<SallaClient>, Failure> {
    let seed = seed(clock.as_ref());
    let customers = customers_budget(clock.clone(), seed);
    let api_url = parse_url(&settings.api_url)?;
    let mut settings = ClientSettings::new(api_url, http_client()?, clock, tokens, customers);
    settings.share = share;
    settings.not_before = not_before;
    settings.rng_seed = seed;
    Ok(Arc::new(SallaClient::new(settings)))
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
