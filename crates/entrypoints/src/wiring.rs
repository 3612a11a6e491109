//! The only place where adapters meet ports.

mod processes;
mod queues;
pub mod service;
mod shops;
pub mod web;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use database::{
    ConnectSettings, Database, DerivedKey, KeyCheck, Keyring, PostgresConnections, PostgresPrivacy,
    Retried, Rotated, SchemaState,
};
use domain::failure::Failure;
use domain::rejection::RejectionLimit;
use domain::shop::MerchantId;
use importer::admission::MemoryLimit;
use importer::clocks::{self, Agreement};
use importer::forgetting::ForgettingPlatform;
use importer::import::ImportSettings;
use importer::ports::clock::Clock;
use importer::ports::connections::Connections;
use importer::ports::contacts::Contacts;
use importer::ports::inspection::{Inventory, Traces};
use importer::ports::jobs::Jobs;
use importer::ports::landing::Landing;
use importer::ports::notifications::Inbox;
use importer::ports::platform::Platform;
use importer::ports::records::{StoredRecords, Translator};
use importer::ports::runs::{Owner, Runs};
use importer::start::Starter;
use salla_client::redact::Redacting;
use salla_client::translate::RawTranslator;
use secrecy::SecretString;

use crate::config::{DatabaseSettings, QueuePlace, key_problem};
use crate::embedded::{self, Embedded};
use crate::exit::UsageError;

pub use importer::ports::connections::NotConnected;

pub use processes::LocalProcesses;
pub use queues::{JobQueue, Queues};
pub use shops::{
    ConnectedShop, client_without_storage, connect_and_store, connect_authorized, connect_shop,
    connect_shop_with, connected_shop, shared_customers_budget,
};

/// Another process may take a run over this long after the last heartbeat.
const LEASE: Duration = Duration::from_secs(60);

/// A database that answers, and the private server behind it, if that is what it is.
pub struct OpenDatabase {
    pub database: Database,
    pub embedded: Option<Embedded>,
    /// In the database, unless [`OpenDatabase::with_queues`] has said otherwise.
    pub queues: Queues,
    /// Its server is this program's own, also if another process started it.
    pub is_private: bool,
    keyring: Option<Keyring>,
}

impl OpenDatabase {
    /// The same database through separate connections.
    pub fn beside(&self, connections: u32) -> Self {
        Self {
            database: self.database.beside(connections),
            embedded: None,
            queues: self.queues.clone(),
            is_private: self.is_private,
            keyring: self.keyring.clone(),
        }
    }

    pub fn landing(&self) -> Arc<dyn Landing> {
        Arc::new(self.database.landing())
    }

    pub fn runs(&self) -> Arc<dyn Runs> {
        Arc::new(self.database.runs())
    }

    pub fn jobs(&self) -> Arc<dyn Jobs> {
        Arc::new(self.database.jobs())
    }

    /// What starts runs, for commands and doors alike.
    pub fn starter(&self, clock: Arc<dyn Clock>) -> Starter {
        Starter {
            runs: self.runs(),
            jobs: self.jobs(),
            clock,
        }
    }

    /// With queues at another place. Fails with what is missing there.
    pub async fn with_queues(self, place: &QueuePlace) -> anyhow::Result<Self> {
        Ok(Self {
            queues: self.queues.at(place).await?,
            ..self
        })
    }

    /// The stored tokens, which only the key opens.
    pub fn connections(&self) -> Result<Arc<dyn Connections>, Failure> {
        Ok(Arc::new(self.stored_connections()?))
    }

    fn stored_connections(&self) -> Result<PostgresConnections, Failure> {
        Ok(self.database.connections(self.keyring()?.clone()))
    }

    /// Whom e-mails reach, whose addresses only the key opens.
    pub fn contacts(&self) -> Result<Arc<dyn Contacts>, Failure> {
        Ok(Arc::new(self.database.contacts(self.keyring()?.clone())))
    }

    /// Rows of people. Whom a shop has forgotten only the key knows again.
    pub fn privacy(&self) -> PostgresPrivacy {
        self.database.privacy(self.keyring.clone())
    }

    /// The shop as an import may see it: forgotten customers are not in it.
    pub async fn forgetting(
        &self,
        platform: Arc<dyn Platform>,
        merchant: MerchantId,
    ) -> Result<Arc<dyn Platform>, Failure> {
        forgetting(&self.privacy(), platform, merchant).await
    }

    /// The keys that were given.
    pub fn keyring(&self) -> Result<&Keyring, Failure> {
        self.keyring.as_ref().ok_or_else(|| Failure::Bug {
            message: "keys are needed but none is given".to_owned(),
        })
    }

    /// Seals everything with the current key.
    pub async fn rotate_keys(&self) -> Result<Rotated, Failure> {
        self.stored_connections()?.rotate().await
    }

    /// Lets a shop's refresh token of unknown fate be presented one last time.
    pub async fn retry_connection(&self, salla_id: i64) -> Result<Retried, Failure> {
        self.stored_connections()?.retry(salla_id).await
    }

    /// A key for another purpose than encrypting, the same for all who have the key.
    pub fn derived_key(&self, purpose: &str) -> Result<DerivedKey, Failure> {
        Ok(self.keyring()?.derive(purpose))
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

    /// Whether the keys that were given open what is stored.
    pub async fn check_key(&self) -> Result<(), KeyCheck> {
        let Some(keyring) = &self.keyring else {
            return Ok(());
        };
        match self.database.schema_state().await? {
            SchemaState::UpToDate => {
                let connections = self.database.connections(keyring.clone());
                connections.check_key().await
            }
            SchemaState::Behind { .. } | SchemaState::Unknown => Ok(()),
        }
    }

    /// Refuses tables of another version. A database of our own is brought up to date instead.
    pub async fn check_schema(&self) -> anyhow::Result<()> {
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

    /// As [`check_schema`](Self::check_schema), for what writes
    /// records: also refuses a database that cannot hold Arabic, and a clock that is far from
    /// the database's.
    pub async fn check_ready_for_import(&self, clock: &dyn Clock) -> anyhow::Result<()> {
        self.database.require_utf8().await?;
        self.check_schema().await?;
        self.require_agreeing_clocks(None, clock).await
    }

    /// The same of all three clocks, once Salla has said what time it is.
    pub async fn require_agreeing_clocks(
        &self,
        platform: Option<&dyn Platform>,
        clock: &dyn Clock,
    ) -> anyhow::Result<()> {
        let offsets = clocks::offsets(self.runs().as_ref(), platform, clock).await?;
        match offsets.map(|offsets| offsets.agreement()) {
            Some(Agreement::Apart(reason)) => Err(UsageError::one(reason).into()),
            // What is only doubtful is said where the run begins.
            Some(Agreement::Agreed | Agreement::Doubtful(_)) | None => Ok(()),
        }
    }
}

async fn forgetting(
    privacy: &PostgresPrivacy,
    platform: Arc<dyn Platform>,
    merchant: MerchantId,
) -> Result<Arc<dyn Platform>, Failure> {
    Ok(match privacy.forgotten(merchant).await? {
        None => platform,
        Some(forgotten) => Arc::new(ForgettingPlatform::new(
            platform,
            forgotten,
            Arc::new(Redacting),
        )),
    })
}

/// How a process uses its connections.
#[derive(Clone, Copy, Debug)]
pub struct PoolSize {
    connections: u32,
    listeners: u32,
    /// How long work waits for a connection.
    timeout: Duration,
    /// And how long its start waits for other clients to release connections.
    start_timeout: Duration,
}

impl PoolSize {
    /// Enough for one import and its display.
    pub const FOR_COMMAND: Self = Self {
        connections: 8,
        listeners: 0,
        timeout: Duration::from_secs(10),
        start_timeout: Duration::ZERO,
    };

    /// Many imports share few connections: waiting for one is no sign of a problem.
    pub fn for_worker(connections: u32) -> Self {
        Self {
            connections,
            listeners: 2,
            // Less than the time after which work is begun again.
            timeout: Duration::from_secs(20),
            // The worker whose place it takes may still be giving its jobs back.
            start_timeout: Duration::from_secs(30),
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
    open_database_with(settings, key, clock, PoolSize::FOR_COMMAND).await
}

/// As [`open_database`], with another use of connections.
pub async fn open_database_with(
    settings: &DatabaseSettings,
    key: Option<SecretString>,
    clock: Arc<dyn Clock>,
    pool: PoolSize,
) -> anyhow::Result<OpenDatabase> {
    let open = open_with_any_key(settings, key, clock, pool).await?;
    match open.check_key().await {
        Ok(()) => Ok(open),
        Err(KeyCheck::Mismatch(mismatch)) => Err(UsageError::one(key_problem(&mismatch)).into()),
        Err(KeyCheck::Database(failure)) => Err(failure.into()),
    }
}

/// As [`open_database_with`], for a caller that checks itself whether the key fits.
pub async fn open_with_any_key(
    settings: &DatabaseSettings,
    key: Option<SecretString>,
    clock: Arc<dyn Clock>,
    pool: PoolSize,
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
        listeners: pool.listeners,
        timeout: pool.timeout,
        waits_for_room: pool.start_timeout,
        ..ConnectSettings::new(url)
    };
    let keyring = key
        .map(|key| Keyring::parse(&key))
        .transpose()
        .map_err(|error| UsageError::one(key_problem(&error)))?;
    let database = Database::connect(connect, clock.clone()).await?;
    Ok(OpenDatabase {
        queues: Queues::in_database(&database, clock),
        database,
        is_private: embedded.is_some(),
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
pub async fn reset_embedded(data_dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Embedded> {
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

/// Reads kept texts as Salla's responses are read.
pub fn translator(clock: &dyn Clock) -> Arc<dyn Translator> {
    Arc::new(RawTranslator { now: clock.now() })
}

/// The settings of an import that uses `share` of Salla's budget.
pub fn import_settings(share: f64) -> ImportSettings {
    ImportSettings {
        owner: Owner {
            name: format!("process {} on {}", std::process::id(), host_name()),
            processes: Arc::new(LocalProcesses::new()),
        },
        waits_for_lease: true,
        lease: LEASE,
        budget_share: share,
        rejection_limit: RejectionLimit::default(),
        memory: MemoryLimit::default(),
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
