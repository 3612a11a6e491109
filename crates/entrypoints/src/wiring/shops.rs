//! Connecting shops: whose tokens they are, what their clients are made of and what they
//! share with others.

use std::sync::Arc;
use std::time::Duration;

use database::{BudgetKey, Database};
use domain::failure::{Disconnection, Failure};
use domain::shop::{MerchantId, ShopInfo};
use importer::admission::MemoryLimit;
use importer::ports::clock::Clock;
use importer::ports::connections::{
    Bound, Connection, ConnectionId, ConnectionState, Connections, NotConnected,
};
use importer::ports::platform::Platform as _;
use importer::ports::shared_budget::BudgetRules;
use jiff::Timestamp;
use salla_client::admission::RateLimiter;
use salla_client::http::{http_client, token_client};
use salla_client::oauth::OAuth;
use salla_client::tokens::{KeeperSettings, TokenKeeper, TokenSource};
use salla_client::{ClientSettings, SallaClient, customers_budget};
use secrecy::SecretString;

use super::OpenDatabase;
use crate::config::{AppSettings, SallaSettings};

/// A shop that answers, known to the database.
pub struct ConnectedShop {
    pub platform: Arc<SallaClient>,
    pub shop: ShopInfo,
    pub merchant: MerchantId,
    /// Newer tokens of the shop are stored than those that were given, and are used.
    pub has_newer: bool,
}

/// Connects with the given tokens, or with those that replaced them since. Tokens that can be
/// refreshed are stored.
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
    customers: Arc<RateLimiter>,
) -> Result<ConnectedShop, Failure> {
    if settings.tokens.refresh.is_some() {
        return connect_stored(open, settings, share, clock, customers).await;
    }
    let not_before = earliest_next_request(&open.database, None, clock.as_ref()).await?;
    let tokens = TokenSource::Fixed(settings.tokens.access.clone());
    let platform = build_client(ClientParts {
        tokens,
        not_before,
        customers,
        ..ClientParts::new(&settings.app, share, clock)?
    });
    meet(open, platform).await
}

/// The budget for customers of this process and of all others in the group. One for all
/// clients of the process: what it takes in one go serves many shops.
pub fn shared_customers_budget(
    open: &OpenDatabase,
    egress_group: &str,
    clock: Arc<dyn Clock>,
) -> Arc<RateLimiter> {
    let key = BudgetKey {
        egress_group: egress_group.to_owned(),
        budget: "customers",
    };
    let shared = open.database.budget(key, BudgetRules::CUSTOMERS);
    let seed = seed(clock.as_ref());
    salla_client::shared_customers_budget(Arc::new(shared), clock, seed)
}

/// Connects and stores the tokens, whether they can be refreshed or not, for workers to use.
pub async fn connect_and_store(
    open: &OpenDatabase,
    settings: &SallaSettings,
    clock: Arc<dyn Clock>,
) -> Result<ConnectedShop, Failure> {
    let customers = shared_customers_budget(open, &settings.app.egress_group, clock.clone());
    connect_stored(open, settings, 1.0, clock, customers).await
}

/// As [`connect_and_store`], but only if the tokens are those of the shop with this number
/// of Salla's. An older authorization does not take the place of a newer one.
pub async fn connect_authorized(
    open: &OpenDatabase,
    settings: &SallaSettings,
    salla_id: i64,
    authorized_at: Option<Timestamp>,
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
    Ok(stored.bind(open, shop, authorized_at).await?)
}

async fn connect_stored(
    open: &OpenDatabase,
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
    customers: Arc<RateLimiter>,
) -> Result<ConnectedShop, Failure> {
    let stored = store(open, settings, share, clock, customers).await?;
    let shop = stored.platform.shop_info().await?;
    stored.bind(open, shop, None).await
}

/// Tokens that are stored and not yet known to be a shop's.
pub(super) struct StoredTokens {
    connections: Arc<dyn Connections>,
    connection: ConnectionId,
    /// Whose they are, if that was known before.
    salla_id: Option<i64>,
    pub(super) platform: Arc<SallaClient>,
}

/// What binding tokens to their shop came to.
pub(super) struct BoundShop {
    pub(super) shop: ConnectedShop,
    /// Other tokens of the shop served until now.
    pub(super) was_connected: bool,
}

/// Tokens that belonged to one shop and belong to another one now are disconnected before anything
/// is written for either: ids recur across shops, and their rows would be mixed.
pub(super) async fn require_shop(
    connections: &dyn Connections,
    id: ConnectionId,
    expected: Option<i64>,
    shop: &ShopInfo,
) -> Result<(), Failure> {
    if expected.is_none_or(|salla_id| salla_id == shop.salla_id) {
        return Ok(());
    }
    tracing::error!(
        expected,
        opened = shop.salla_id,
        "the stored tokens belong to another shop; the shop is disconnected"
    );
    let why = Disconnection::OtherShop;
    // It may have been refreshed by asking.
    let stored = connections.load(id).await?;
    if stored.id == id {
        connections.disconnect(id, stored.version, why).await?;
    }
    Err(why.into())
}

impl StoredTokens {
    async fn bind(
        self,
        open: &OpenDatabase,
        shop: ShopInfo,
        authorized_at: Option<Timestamp>,
    ) -> Result<ConnectedShop, Failure> {
        Ok(self.bind_shop(open, shop, authorized_at).await?.shop)
    }

    pub(super) async fn bind_shop(
        self,
        open: &OpenDatabase,
        shop: ShopInfo,
        authorized_at: Option<Timestamp>,
    ) -> Result<BoundShop, Failure> {
        let connections = self.connections.as_ref();
        require_shop(connections, self.connection, self.salla_id, &shop).await?;
        let connected = register_shop(open, self.platform, shop).await?;
        let was_connected = serves(connections, connected.merchant, self.connection).await?;
        let bound = connections
            .bind(self.connection, connected.merchant, authorized_at)
            .await?;
        Ok(BoundShop {
            shop: ConnectedShop {
                has_newer: bound == Bound::Older,
                ..connected
            },
            was_connected,
        })
    }
}

/// Whether the merchant has a connection that serves, other than this one.
async fn serves(
    connections: &dyn Connections,
    merchant: MerchantId,
    besides: ConnectionId,
) -> Result<bool, Failure> {
    match connections.of_merchant(merchant).await {
        Ok(Some(current)) => {
            let ended = matches!(current.state, ConnectionState::Disconnected { .. });
            Ok(!ended && current.id != besides)
        }
        Ok(None) | Err(Failure::Disconnected(_)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

async fn store(
    open: &OpenDatabase,
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
    customers: Arc<RateLimiter>,
) -> Result<StoredTokens, Failure> {
    let connections = open.connections()?;
    let connection = connections.open(&settings.tokens).await?;
    stored(open, &settings.app, &connection, (share, customers), clock).await
}

/// Tokens that are in the database already.
pub(super) async fn stored(
    open: &OpenDatabase,
    app: &AppSettings,
    connection: &Connection,
    (share, customers): (f64, Arc<RateLimiter>),
    clock: Arc<dyn Clock>,
) -> Result<StoredTokens, Failure> {
    let connections = open.connections()?;
    let tokens = TokenSource::Kept(TokenKeeper::new(KeeperSettings {
        connections: connections.clone(),
        connection: connection.id,
        oauth: OAuth::new(token_client()?, app.accounts_url.clone(), clock.clone()),
        app: app.credentials(),
        clock: clock.clone(),
    }));
    // Tokens that are new here have asked Salla for nothing yet.
    let not_before = match connection.merchant {
        Some(merchant) => {
            earliest_next_request(&open.database, Some(merchant), clock.as_ref()).await?
        }
        None => None,
    };
    let platform = build_client(ClientParts {
        tokens,
        not_before,
        customers,
        ..ClientParts::new(app, share, clock)?
    });
    Ok(StoredTokens {
        connections,
        connection: connection.id,
        salla_id: connection.salla_id,
        platform,
    })
}

/// An exhausted budget allows one request a second (docs/salla-api.md#rate-limits). A
/// process that was stopped less than a second ago may have used this one up, for the
/// given merchant or, where Salla has yet to say whose tokens these are, for any. One that
/// has released the run has said how much there is to wait for.
pub(super) async fn earliest_next_request(
    database: &Database,
    merchant: Option<MerchantId>,
    clock: &dyn Clock,
) -> Result<Option<Duration>, Failure> {
    if let Some(merchant) = merchant
        && let Some(wait) = database.next_request(merchant).await?
    {
        return Ok((!wait.is_zero()).then(|| clock.monotonic() + wait));
    }
    let Some(last) = database.last_progress(merchant).await? else {
        return Ok(None);
    };
    let second = Duration::from_secs(1);
    let since = clock.now().duration_since(last);
    let since = Duration::try_from(since).unwrap_or_default();
    Ok((since < second).then(|| clock.monotonic() + (second - since)))
}

/// A shop with the tokens that are stored for it.
pub async fn connected_shop(
    open: &OpenDatabase,
    app: &AppSettings,
    merchant: MerchantId,
    clock: Arc<dyn Clock>,
) -> Result<ConnectedShop, Failure> {
    let current = open.connections()?.of_merchant(merchant).await?;
    let connection = current.ok_or(Disconnection::NotConnected)?;
    let customers = shared_customers_budget(open, &app.egress_group, clock.clone());
    let tokens = stored(open, app, &connection, (1.0, customers), clock).await?;
    meet(open, tokens.platform).await
}

/// Asks who the shop is, and makes it known to the database.
async fn meet(open: &OpenDatabase, platform: Arc<SallaClient>) -> Result<ConnectedShop, Failure> {
    let shop = platform.shop_info().await?;
    register_shop(open, platform, shop).await
}

async fn register_shop(
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
        has_newer: false,
    })
}

/// A client that stores and refreshes no tokens: for commands that only read. They request a page
/// or two of customers, which is not worth a database.
pub fn client_without_storage(
    settings: &SallaSettings,
    share: f64,
    clock: Arc<dyn Clock>,
) -> Result<Arc<SallaClient>, Failure> {
    let access = settings.tokens.access.clone();
    let tokens = match settings.tokens.refresh {
        Some(_) => TokenSource::Unrefreshed(access),
        None => TokenSource::Fixed(access),
    };
    Ok(build_client(ClientParts {
        tokens,
        ..ClientParts::new(&settings.app, share, clock)?
    }))
}

/// What a client of one shop is made of.
pub(super) struct ClientParts {
    pub(super) api_url: url::Url,
    pub(super) http: reqwest::Client,
    pub(super) share: f64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tokens: TokenSource,
    pub(super) customers: Arc<RateLimiter>,
    pub(super) memory: MemoryLimit,
    pub(super) not_before: Option<Duration>,
}

impl ClientParts {
    /// Without tokens, and with a separate budget for customers.
    pub(super) fn new(
        app: &AppSettings,
        share: f64,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            api_url: app.api_url.clone(),
            http: http_client()?,
            share,
            tokens: TokenSource::Fixed(SecretString::default()),
            customers: customers_budget(clock.clone(), seed(clock.as_ref())),
            memory: MemoryLimit::default(),
            not_before: None,
            clock,
        })
    }
}

pub(super) fn build_client(parts: ClientParts) -> Arc<SallaClient> {
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
