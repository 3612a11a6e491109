//! The doors over HTTP, and what stands behind them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderMap;
use database::Database;
use domain::contact::EmailAddress;
use domain::failure::{Disconnection, Failure};
use domain::shop::MerchantId;
use importer::connect::{ConnectPorts, ConnectSettings, ConnectShops};
use importer::ports::clock::{Clock, with_timeout};
use importer::ports::connections::{ConnectionId, Connector, Introduced, NotConnected};
use importer::ports::consents::Accounts;
use importer::ports::platform::Platform as _;
use importer::ports::sessions::Introspection;
use importer::ports::webhooks::{Event, WebhookError};
use importer::sessions::MerchantSessions;
use importer::start::Starter;
use importer::upkeep::Upkeep;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use salla_client::admission::RateLimiter;
use salla_client::http::token_client;
use salla_client::introspection::AppIntrospection;
use salla_client::oauth::{AppAccounts, AppCredentials, OAuth};
use salla_client::webhook::{WebhookSecret, receive_with};
use tokio::sync::{Notify, RwLock};
use web::api::Api;
use web::embedded::EmbeddedDoor;
use web::limits::Limiter;
use web::oauth::ConsentDoor;
use web::sessions::SessionDoor;
use web::webhooks::{WebhookDoor, Webhooks};
use web::{Codes, Doors, Observed, States};

use super::OpenDatabase;
use super::service::channels;
use super::shops::{shared_customers_budget, stored};
use crate::config::{AppSettings, Channels, WebSettings};
use crate::exit::UsageError;

/// What signs the states that browsers carry.
const STATES: &str = "states of consents";
/// What one-time codes are stored under.
const CODES: &str = "one-time codes";

pub struct WebParts {
    pub salla: AppSettings,
    pub credentials: AppCredentials,
    pub web: WebSettings,
    pub channels: Channels,
    pub connect: ConnectSettings,
}

/// Everything behind the doors.
pub struct Behind {
    pub connect: ConnectShops,
    /// Read while a code is being redeemed.
    redeeming: Arc<RwLock<()>>,
}

/// Tokens that a code has brought are stored by then.
const REDEEMING_AT_THE_END: Duration = Duration::from_secs(60);

impl Behind {
    pub fn new(
        open: &Arc<OpenDatabase>,
        parts: &WebParts,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let accounts_url = parts.salla.accounts_url.clone();
        let accounts: Arc<dyn Accounts> = Arc::new(AppAccounts {
            oauth: OAuth::new(token_client()?, accounts_url, clock.clone()),
            app: parts.credentials.clone(),
            redirect_uri: parts.web.redirect_uri().unwrap_or_default(),
        });
        let group = &parts.salla.egress_group;
        let connector = StoredConnector {
            open: open.clone(),
            salla: parts.salla.clone(),
            accounts: accounts.clone(),
            customers: shared_customers_budget(open, group, clock.clone()),
            clock: clock.clone(),
        };
        let (_, alerts) = channels(&parts.channels, clock)?;
        let ports = ConnectPorts {
            accounts,
            connector: Arc::new(connector),
            connections: open.connections()?,
            arrivals: Arc::new(open.database.arrivals()),
            merchants: Arc::new(open.database.merchants()),
            jobs: open.jobs(),
            starter: open.starter(clock.clone()),
            alerts,
            sessions: Arc::new(open.database.sessions()),
            audit: Arc::new(open.database.audit()),
            claims: Arc::new(open.database.claims()),
            clock: clock.clone(),
        };
        Ok(Self {
            connect: ConnectShops {
                ports,
                settings: parts.connect,
                arrived: Arc::new(Notify::new()),
            },
            redeeming: Arc::default(),
        })
    }

    pub fn upkeep(&self, open: &OpenDatabase) -> Upkeep {
        Upkeep {
            sessions: self.connect.sessions(),
            limits: Arc::new(open.database.rate_limits()),
            claims: self.connect.claims(),
        }
    }

    /// Returns when no code is being redeemed any more: its tokens would be lost.
    pub async fn finish(&self) {
        let clock = self.connect.ports.clock.as_ref();
        let finished = with_timeout(clock, REDEEMING_AT_THE_END, self.redeeming.write()).await;
        if finished.is_none() {
            tracing::error!(
                "a consent could not be finished before the process ended; the merchant must \
                 repeat it"
            );
        }
    }

    /// `own_rows`: the database as it is used for one merchant.
    pub fn doors(
        &self,
        open: &OpenDatabase,
        own_rows: &Database,
        web: &WebSettings,
        observed: Arc<dyn Observed>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Doors, Failure> {
        let random: web::Random = Arc::new(SystemRandom::new());
        let sessions = Arc::new(self.sessions(open, web, &random, clock)?);
        let consents = match &web.public_url {
            Some(_) => Some(Arc::new(ConsentDoor {
                connect: self.connect.clone(),
                consents: Arc::new(open.database.arrivals()),
                states: States::new(open.derived_key(STATES)?.as_slice()),
                random: random.clone(),
                clock: clock.clone(),
                redeeming: self.redeeming.clone(),
                is_https: web.is_https(),
                sessions: sessions.clone(),
            })),
            None => None,
        };
        let codes = || Ok::<_, Failure>(Codes::new(open.derived_key(CODES)?.as_slice()));
        let webhooks = match web.webhook_secrets.is_empty() {
            false => Some(Arc::new(WebhookDoor {
                webhooks: Arc::new(SignedWebhooks {
                    secrets: web.webhook_secrets.clone(),
                    clock: clock.clone(),
                }),
                connect: self.connect.clone(),
                codes: codes()?,
                limiter: sessions.limiter.clone(),
            })),
            true => None,
        };
        let api = Api {
            tokens: Arc::new(open.database.api_tokens()),
            merchants: Arc::new(own_rows.merchants()),
            jobs: Arc::new(own_rows.jobs()),
            overview: Arc::new(own_rows.overview()),
            inbox: Arc::new(own_rows.notifications()),
            contacts: open.contacts()?,
            starter: Starter {
                runs: Arc::new(own_rows.runs()),
                jobs: Arc::new(own_rows.jobs()),
                clock: clock.clone(),
            },
            connect: self.connect.clone(),
            sessions: sessions.clone(),
            claims: self.connect.claims(),
            codes: codes()?,
            tickets: Arc::new(open.database.event_tickets()),
            random: random.clone(),
            clock: clock.clone(),
        };
        let embedded = web.embedded.as_ref().map(|embedded| EmbeddedDoor {
            ancestors: embedded.ancestors.clone(),
        });
        Ok(Doors {
            api: Arc::new(api),
            sessions,
            embedded,
            proxies: web.proxies.clone(),
            observed,
            consents,
            webhooks,
            is_https: web.is_https(),
            random,
            clock: clock.clone(),
        })
    }

    fn sessions(
        &self,
        open: &OpenDatabase,
        web: &WebSettings,
        random: &web::Random,
        clock: &Arc<dyn Clock>,
    ) -> Result<SessionDoor, Failure> {
        let introspection: Option<Arc<dyn Introspection>> = match &web.embedded {
            Some(embedded) => Some(Arc::new(AppIntrospection {
                http: token_client()?,
                url: embedded.introspect_url.clone(),
                app_id: embedded.app_id.clone(),
                clock: clock.clone(),
            })),
            None => None,
        };
        Ok(SessionDoor {
            sessions: MerchantSessions {
                introspection,
                ..self.connect.sessions()
            },
            limiter: Limiter {
                limits: Arc::new(open.database.rate_limits()),
            },
            random: random.clone(),
            origin: web.origin(),
            is_https: web.is_https(),
        })
    }
}

/// The database as it is used for one merchant: where its roles are there, it shows no rows of
/// another. A private server is given them.
pub async fn own_rows(open: &OpenDatabase) -> anyhow::Result<OwnRows> {
    let database = &open.database;
    let mut status = database.roles_status().await?;
    if open.is_private && !status.is_complete() {
        database.create_roles().await?;
        status = database.roles_status().await?;
    }
    if status.sees_nothing {
        let problem = format!(
            "{} inherits salla_sync_web, so row-level security hides all rows from it: run `REVOKE \
             salla_sync_web FROM {0}`, then `salla-sync roles create --login {0}`",
            status.login
        );
        return Err(UsageError::one(problem).into());
    }
    if !status.missing_roles.is_empty() || status.secured_tables == 0 || !status.may_be_confined {
        return Ok(OwnRows::ByQueries(database.clone()));
    }
    for table in &status.open_tables {
        tracing::warn!(
            table,
            "row-level security does not cover this table: run `salla-sync roles create`"
        );
    }
    database.try_confined().await?;
    Ok(OwnRows::ByDatabase(database.confined()))
}

/// What keeps one merchant's rows from another.
pub enum OwnRows {
    /// Queries, and row-level security behind them.
    ByDatabase(Database),
    ByQueries(Database),
}

impl OwnRows {
    pub fn database(&self) -> &Database {
        match self {
            Self::ByDatabase(database) | Self::ByQueries(database) => database,
        }
    }
}

/// Salla's webhooks, known by the app's secrets.
struct SignedWebhooks {
    secrets: Vec<WebhookSecret>,
    clock: Arc<dyn Clock>,
}

impl Webhooks for SignedWebhooks {
    fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<Event, WebhookError> {
        receive_with(headers, body, &self.secrets, self.clock.now())
    }
}

/// [`Connector`] with the tokens that the database keeps.
struct StoredConnector {
    open: Arc<OpenDatabase>,
    salla: AppSettings,
    accounts: Arc<dyn Accounts>,
    customers: Arc<RateLimiter>,
    clock: Arc<dyn Clock>,
}

impl StoredConnector {
    /// Who gets e-mails, unless that was decided. A shop connects without it, too.
    async fn suggest(&self, merchant: MerchantId, address: &EmailAddress) {
        let suggested = match self.open.contacts() {
            Ok(contacts) => contacts.suggest(merchant, address).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = suggested {
            tracing::warn!(%merchant, %failure, "the shop's contact could not be stored");
        }
    }
}

/// The shop has just accepted the token, so a refusal by the accounts host is one response that
/// is wrong, and no reason to give up tokens that Salla gives only once.
fn of_an_accepted_token(failure: Failure) -> Failure {
    match failure {
        Failure::Disconnected(Disconnection::TokenRejected) => Failure::Transient {
            message: "requesting the merchant of the app: Salla's accounts host refuses the token \
                      that the shop has just accepted"
                .to_owned(),
        },
        failure => failure,
    }
}

#[async_trait]
impl Connector for StoredConnector {
    async fn connect(
        &self,
        connection: ConnectionId,
        named: Option<i64>,
        authorized_at: Option<Timestamp>,
    ) -> Result<Introduced, NotConnected> {
        let connections = self.open.connections()?;
        let loaded = connections.load(connection).await?;
        let share = (1.0, self.customers.clone());
        let tokens = stored(&self.open, &self.salla, &loaded, share, self.clock.clone()).await?;
        let shop = tokens.platform.shop_info().await?;
        let opened = shop.salla_id;
        let require = |named: i64, opened: i64| match named == opened {
            true => Ok(()),
            false => Err(NotConnected::OtherShop { named, opened }),
        };
        require(named.unwrap_or(opened), opened)?;
        // What the shop itself says may have taken a refresh.
        let fresh = connections.load(loaded.id).await?;
        let by_accounts = self.accounts.shop_of(&fresh.tokens.access).await;
        let by_accounts = by_accounts.map_err(of_an_accepted_token)?;
        require(opened, by_accounts.salla_id)?;
        let bound = tokens.bind_shop(&self.open, shop, authorized_at).await?;
        if let Some(address) = &by_accounts.email {
            self.suggest(bound.shop.merchant, address).await;
        }
        Ok(Introduced {
            merchant: bound.shop.merchant,
            shop: bound.shop.shop,
            has_newer: bound.shop.has_newer,
            was_connected: bound.was_connected,
        })
    }
}
