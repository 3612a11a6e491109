//! Connecting a shop: from a consent, or from tokens that the platform delivers, to an import
//! that is queued.
//!
//! Whatever happens, tokens are stored before anything is done with them, a shop's newest
//! tokens win, and tokens that open another shop than they should connect none.

mod outcome;

use std::sync::Arc;
use std::time::Duration;

use domain::connection_change::Tags;
use domain::failure::{Disconnection, Failure};
use domain::resource::Resource;
use domain::run::{RunCommand, RunState};
use domain::scopes::{self, ScopeProblem};
use domain::shop::{MerchantId, ShopInfo};
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::claims::{ClaimShops, NotClaimed, shown_up};
use crate::import::Reading;
use crate::ports::audit::{Action, Actor, Audit, AuditEvent};
use crate::ports::claims::SyncDepth;
use crate::ports::claims::{ClaimedBy, Claims, Link, NewClaim, Opens};
use crate::ports::clock::{Clock, with_timeout};
use crate::ports::connections::{Connection, Connections, Tokens};
use crate::ports::connections::{Connector, Introduced, NotConnected};
use crate::ports::consents::{Accounts, RedeemError};
use crate::ports::consents::{Arrival, Arrivals};
use crate::ports::jobs::{Jobs, RunFilter};
use crate::ports::merchants::{Merchants, Uninstalled};
use crate::ports::notifications::{Alert, Alerts};
use crate::ports::runs::Run;
use crate::ports::sessions::Sessions;
use crate::sessions::MerchantSessions;
use crate::start::Starter;
use crate::stop::StopSignal;
use outcome::outcome;

/// Arrived tokens are tried this often.
const SETTLE_EVERY: Duration = Duration::from_secs(15);
/// And are forgotten after this long.
const ARRIVALS_LAST: SignedDuration = SignedDuration::from_hours(7 * 24);
const ARRIVALS_IN_ONE_GO: u32 = 100;
const ARRIVALS_SIDE_BY_SIDE: usize = 16;
/// A shop's budget comes back within a minute.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(90);

#[derive(Clone)]
pub struct ConnectPorts {
    pub accounts: Arc<dyn Accounts>,
    pub connector: Arc<dyn Connector>,
    pub connections: Arc<dyn Connections>,
    pub arrivals: Arc<dyn Arrivals>,
    pub merchants: Arc<dyn Merchants>,
    pub jobs: Arc<dyn Jobs>,
    pub starter: Starter,
    pub alerts: Vec<Arc<dyn Alerts>>,
    pub sessions: Arc<dyn Sessions>,
    pub claims: Arc<dyn Claims>,
    pub audit: Arc<dyn Audit>,
    pub clock: Arc<dyn Clock>,
}

#[derive(Clone, Copy, Debug)]
pub struct ConnectSettings {
    /// What is imported when a shop connects, if anything.
    pub import: Option<SyncDepth>,
    /// Tokens that may change a shop are taken as well.
    pub may_write: bool,
    /// Tokens of unclaimed shops wait.
    pub claimed_only: bool,
}

/// A shop whose tokens serve.
#[derive(Clone, Debug)]
pub struct Connected {
    pub merchant: MerchantId,
    pub shop: ShopInfo,
    /// Other tokens of it served until now.
    pub was_connected: bool,
    /// The run that was started or joined, if imports start automatically.
    pub run: Option<Run>,
}

/// Why a consent or a delivery connected no shop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Redeem(#[from] RedeemError),
    #[error("{0}")]
    Scopes(ScopeProblem),
    /// By the platform's numbers.
    #[error("the tokens belong to shop {opened} instead of {named}")]
    OtherShop { named: i64, opened: i64 },
    /// A later authorization, or an uninstallation, has ended these tokens.
    #[error("newer tokens of the shop are already in use")]
    Outdated,
    /// Only claimed shops are connected, and this one is not claimed.
    #[error("the shop is not claimed")]
    Unclaimed,
    /// The link was another account's; the shop stays where it is, and is connected.
    #[error("the shop belongs to another account, and was not moved")]
    OtherAccount,
    #[error("{0}")]
    Failure(#[from] Failure),
}

/// What is known of tokens that are to connect a shop.
struct Given {
    /// The platform's number of the shop that they should open.
    named: Option<i64>,
    authorized_at: Option<Timestamp>,
    by: Actor,
    /// What the browser that consented began with.
    link: Option<Link>,
}

#[derive(Clone)]
pub struct ConnectShops {
    pub ports: ConnectPorts,
    /// Notified when tokens may be looked at.
    pub arrived: Arc<tokio::sync::Notify>,
    pub settings: ConnectSettings,
}

impl ConnectShops {
    /// Sessions of the merchants whose shops these are.
    pub fn sessions(&self) -> MerchantSessions {
        MerchantSessions {
            sessions: self.ports.sessions.clone(),
            introspection: None,
            audit: self.ports.audit.clone(),
            clock: self.ports.clock.clone(),
        }
    }

    /// Claims of the shops that are connected here.
    pub fn claims(&self) -> ClaimShops {
        ClaimShops {
            claims: self.ports.claims.clone(),
            merchants: self.ports.merchants.clone(),
            starter: self.ports.starter.clone(),
            audit: self.ports.audit.clone(),
            clock: self.ports.clock.clone(),
            claimed: self.arrived.clone(),
        }
    }

    /// Redeems the code of a consent and connects the shop that gave it, to the account of the
    /// link that the browser began with.
    pub async fn redeem(
        &self,
        code: &SecretString,
        link: Option<Link>,
    ) -> Result<Connected, Refused> {
        let asked_at = self.ports.clock.now();
        let tokens = self.ports.accounts.redeem(code).await?;
        self.check_scopes(&tokens, None).await?;
        let connection = self.ports.connections.open(&tokens).await?;
        // The code is spent: what fails from here on is tried again without the merchant.
        let arrival = Arrival {
            connection: connection.id,
            named: None,
            authorized_at: Some(asked_at),
            received_at: self.ports.clock.now(),
        };
        self.ports.arrivals.record(&arrival).await?;
        let given = Given {
            named: None,
            authorized_at: Some(asked_at),
            by: Actor::Browser,
            link,
        };
        let connected = self.introduce(&connection, &given).await;
        if let Some(outcome) = outcome(&connected) {
            self.ports.arrivals.settle(connection.id, outcome).await?;
        }
        connected
    }

    /// Connects a shop with tokens that another program has obtained. Without a refresh token
    /// they are lent: they are used until the platform refuses them.
    ///
    /// Where only claimed shops are connected, tokens of others are not stored: the program keeps
    /// them until the shop is claimed.
    ///
    /// `tags`: what to send with each change of the connection from now on, if given.
    pub async fn hand_over(
        &self,
        named: i64,
        tokens: &Tokens,
        tags: Option<&Tags>,
        by: Actor,
    ) -> Result<Connected, Refused> {
        if self.settings.claimed_only && self.ports.claims.of_shop(named).await?.is_none() {
            return Err(Refused::Unclaimed);
        }
        self.check_scopes(tokens, Some(named)).await?;
        let connection = match self.ports.connections.open(tokens).await {
            Ok(connection) => connection,
            Err(Failure::Disconnected(_)) => return Err(Refused::Outdated),
            Err(failure) => return Err(failure.into()),
        };
        if let Some(tags) = tags {
            // Before the connection changes anything, so that the event contains them.
            let connections = &self.ports.connections;
            connections.tag(connection.id, Some(named), tags).await?;
        }
        let given = Given {
            named: Some(named),
            authorized_at: None,
            by,
            link: None,
        };
        self.introduce(&connection, &given).await
    }

    /// Stores tokens that the platform has delivered. When this returns they are durable, and
    /// [`settle_arrivals`](Self::settle_arrivals) finds out whose they are.
    pub async fn receive(
        &self,
        named: i64,
        tokens: &Tokens,
        authorized_at: Option<Timestamp>,
    ) -> Result<(), Refused> {
        self.check_scopes(tokens, Some(named)).await?;
        let connection = match self.ports.connections.open(tokens).await {
            Ok(connection) => connection,
            // These very tokens were there, and ended: the delivery is an old one.
            Err(Failure::Disconnected(_)) => return Err(Refused::Outdated),
            Err(failure) => return Err(failure.into()),
        };
        let arrival = Arrival {
            connection: connection.id,
            named: Some(named),
            authorized_at,
            received_at: self.ports.clock.now(),
        };
        self.ports.arrivals.record(&arrival).await?;
        Ok(())
    }

    /// Settles everything that arrives until a stop is requested. Several processes may do so
    /// concurrently.
    pub async fn settle_arrivals_until(&self, stop: &StopSignal) {
        loop {
            let settled = tokio::select! {
                () = stop.requested() => return,
                settled = self.settle_arrivals() => settled,
            };
            if let Err(failure) = settled {
                tracing::warn!(%failure, "received tokens could not be processed; they wait");
            }
            tokio::select! {
                () = stop.requested() => return,
                () = self.arrived.notified() => {}
                () = self.ports.clock.sleep(SETTLE_EVERY) => {}
            }
        }
    }

    /// Finds out whose the tokens are that have arrived, connects these shops and starts their
    /// imports. What fails for a while is tried again later.
    pub async fn settle_arrivals(&self) -> Result<(), Failure> {
        self.forget_old_arrivals().await?;
        let claimed_only = self.settings.claimed_only;
        let arrivals = self
            .ports
            .arrivals
            .unsettled(ARRIVALS_IN_ONE_GO, claimed_only)
            .await?;
        // One shop whose budget is used up keeps no other waiting.
        futures::stream::iter(arrivals.into_iter().map(Ok))
            .try_for_each_concurrent(ARRIVALS_SIDE_BY_SIDE, |arrival| async move {
                self.settle_one(&arrival).await
            })
            .await
    }

    /// Unclaimed or unverified tokens are not kept forever.
    async fn forget_old_arrivals(&self) -> Result<(), Failure> {
        let before = self.ports.clock.now() - ARRIVALS_LAST;
        for salla_id in self.ports.arrivals.forget(before).await? {
            let shop = salla_id.map_or_else(|| "a shop".to_owned(), |id| format!("the shop {id}"));
            let summary = format!(
                "the tokens of {shop} were deleted after seven days in which they connected no \
                 shop: no account claimed it, or Salla did not say whose they are"
            );
            let advice = "have the merchant install the app again, and claim the shop for an \
                          account: docs/web.md says how";
            self.alert("tokens_forgotten", summary, advice).await;
            let event = AuditEvent::new(Action::ConnectionRefused, Actor::Service);
            let event = AuditEvent {
                salla_id,
                ..event.detail("unclaimed tokens deleted after seven days")
            };
            self.ports.audit.record(&event).await?;
        }
        Ok(())
    }

    async fn settle_one(&self, arrival: &Arrival) -> Result<(), Failure> {
        let clock = self.ports.clock.as_ref();
        let settling = with_timeout(clock, SETTLE_TIMEOUT, self.settle(arrival)).await;
        let settled = settling.unwrap_or_else(|| {
            Err(Refused::Failure(Failure::Transient {
                message: "finding the shop of received tokens: no response in time".to_owned(),
            }))
        });
        if let Err(Refused::Failure(failure)) = &settled {
            if outcome(&settled).is_none() {
                tracing::warn!(
                    shop = arrival.named, %failure,
                    "received tokens could not be processed; they wait"
                );
                return Ok(());
            }
            self.alert_failed(arrival, failure).await;
        }
        let outcome = outcome(&settled).unwrap_or("failed");
        self.ports
            .arrivals
            .settle(arrival.connection, outcome)
            .await
    }

    async fn settle(&self, arrival: &Arrival) -> Result<Connected, Refused> {
        let connection = match self.ports.connections.load(arrival.connection).await {
            Ok(connection) => connection,
            // The app was removed before they were settled.
            Err(Failure::Disconnected(Disconnection::Uninstalled)) => {
                return Err(Refused::Outdated);
            }
            Err(failure) => return Err(failure.into()),
        };
        let given = Given {
            named: arrival.named,
            authorized_at: arrival.authorized_at,
            // A consent names no shop.
            by: arrival.named.map_or(Actor::Browser, |_| Actor::Salla),
            link: None,
        };
        self.introduce(&connection, &given).await
    }

    async fn introduce(
        &self,
        connection: &Connection,
        given: &Given,
    ) -> Result<Connected, Refused> {
        // Tokens that newer ones have replaced lead to those.
        let loaded = self.ports.connections.load(connection.id).await?;
        if loaded.id != connection.id {
            return Err(Refused::Outdated);
        }
        let connector = &self.ports.connector;
        let connecting = connector.connect(connection.id, given.named, given.authorized_at);
        let introduced = match connecting.await {
            Ok(introduced) => introduced,
            Err(NotConnected::Failure(failure)) => return Err(failure.into()),
            Err(NotConnected::OtherShop { named, opened }) => {
                self.refuse_other_shop(connection, named, opened).await?;
                let event = AuditEvent::new(Action::ConnectionRefused, given.by).shop(named);
                let event = event.detail(format!("the tokens belong to shop {opened}"));
                self.ports.audit.record(&event).await?;
                return Err(Refused::OtherShop { named, opened });
            }
        };
        if introduced.has_newer {
            return Err(Refused::Outdated);
        }
        let event = AuditEvent::new(Action::ShopConnected, given.by);
        let event = event.shop(introduced.shop.salla_id).detail(format!(
            "connection {}{}",
            connection.id.0,
            if introduced.was_connected {
                ", in place of another"
            } else {
                ""
            }
        ));
        self.ports.audit.record(&event).await?;
        self.claim(&introduced, given).await?;
        let run = self.start(&introduced).await?;
        tracing::info!(
            merchant = %introduced.merchant,
            was_connected = introduced.was_connected,
            run = run.as_ref().map(|run| tracing::field::display(run.id)),
            "a shop is connected"
        );
        Ok(Connected {
            merchant: introduced.merchant,
            shop: introduced.shop,
            was_connected: introduced.was_connected,
            run,
        })
    }

    /// A merchant who consents is present; one who used an account's link is its customer.
    async fn claim(&self, introduced: &Introduced, given: &Given) -> Result<(), Refused> {
        if given.by != Actor::Browser {
            return Ok(());
        }
        let salla_id = introduced.shop.salla_id;
        let claim = match &given.link {
            Some(Link {
                opens: Opens::Account(account),
                depth,
            }) => NewClaim {
                salla_id,
                account: Some(account.clone()),
                depth: *depth,
                by: ClaimedBy::Link,
            },
            _ => shown_up(salla_id, ClaimedBy::Consent),
        };
        match self.claims().claim(&claim, given.by, None).await {
            Ok(()) => Ok(()),
            Err(NotClaimed::Failure(failure)) => Err(failure.into()),
            Err(_) => Err(Refused::OtherAccount),
        }
    }

    /// A shop that is authorized again, for example after an update of the app, keeps its run: it
    /// may have been cancelled on purpose.
    async fn start(&self, introduced: &Introduced) -> Result<Option<Run>, Failure> {
        let claim = self.ports.claims.of_shop(introduced.shop.salla_id).await?;
        let wished = claim.and_then(|claim| claim.depth);
        let Some(depth) = self.settings.import.map(|depth| wished.unwrap_or(depth)) else {
            return Ok(None);
        };
        if introduced.was_connected {
            let filter = RunFilter {
                merchant: Some(introduced.merchant),
                state: None,
                limit: 1,
            };
            if let Some((_, run)) = self.ports.jobs.list(&filter).await?.pop() {
                return Ok(Some(run));
            }
        }
        let (starter, merchant) = (&self.ports.starter, introduced.merchant);
        let started = starter
            .start(merchant, depth.months(), Reading::Changes)
            .await?;
        Ok(Some(started.run))
    }

    async fn check_scopes(&self, tokens: &Tokens, named: Option<i64>) -> Result<(), Refused> {
        let Err(problem) = scopes::check(tokens.scope.as_deref(), self.settings.may_write) else {
            return Ok(());
        };
        let shop = named.map_or_else(String::new, |id| format!(" of the shop {id}"));
        let advice = "set the app's scopes in the Salla Partners Portal, then have the merchant \
                      accept them; the tokens were not stored";
        let summary = format!("tokens{shop} were refused: {problem}");
        self.alert("scopes_refused", summary, advice).await;
        Err(Refused::Scopes(problem))
    }

    async fn refuse_other_shop(
        &self,
        connection: &Connection,
        named: i64,
        opened: i64,
    ) -> Result<(), Failure> {
        // Tokens that are a shop's already stay where they are.
        if connection.merchant.is_none() {
            let why = Disconnection::OtherShop;
            let stored = self.ports.connections.load(connection.id).await?;
            let parking = &self.ports.connections;
            parking.disconnect(stored.id, stored.version, why).await?;
        }
        let summary = format!(
            "a delivery names shop {named} but has the tokens of shop {opened}: neither was \
             connected"
        );
        let advice = "find out who knows the webhook secret; change it in the Salla Partners \
                      Portal if it was not Salla";
        self.alert("wrong_shop", summary, advice).await;
        Ok(())
    }

    async fn alert_failed(&self, arrival: &Arrival, failure: &Failure) {
        let shop = arrival
            .named
            .map_or_else(|| "a shop".to_owned(), |id| format!("the shop {id}"));
        let summary =
            format!("{shop} could not be connected with the tokens that Salla gave: {failure}");
        let advice = "fix the cause, then have the merchant reinstall the app: Salla delivers \
             tokens only once";
        self.alert("connection_failed", summary, advice).await;
    }

    async fn alert(&self, code: &'static str, summary: String, advice: &str) {
        let alert = Alert {
            code,
            summary,
            advice: advice.to_owned(),
            merchant: None,
            run: None,
            at: self.ports.clock.now(),
        };
        for channel in &self.ports.alerts {
            if let Err(failure) = channel.raise(&alert).await {
                tracing::error!(%failure, code, "an alert could not be delivered");
            }
        }
    }

    /// The app was removed from a shop: its work stops and its tokens are forgotten. Tokens of a
    /// later authorization stay if the platform still takes them, because the two events may
    /// come in any order and their times may be off by hours.
    pub async fn uninstall(&self, salla_id: i64, at: Option<Timestamp>) -> Result<(), Failure> {
        let at = at.unwrap_or_else(|| self.ports.clock.now());
        let merchant = match self.ports.merchants.uninstall(salla_id, Some(at)).await? {
            Uninstalled::Unknown => {
                // A merchant may have signed in before the shop's tokens came.
                self.sessions().revoke_all(salla_id, Actor::Salla).await?;
                return Ok(());
            }
            Uninstalled::Forgotten(merchant) => merchant,
            Uninstalled::AuthorizedSince(merchant) => {
                if self.still_opens(merchant).await? {
                    return Ok(());
                }
                self.ports.merchants.uninstall(salla_id, None).await?;
                merchant
            }
        };
        cancel_open_run(self.ports.jobs.as_ref(), merchant).await?;
        self.sessions().revoke_all(salla_id, Actor::Salla).await?;
        let event = AuditEvent::new(Action::ShopUninstalled, Actor::Salla).shop(salla_id);
        self.ports.audit.record(&event).await?;
        tracing::info!(%merchant, "a shop has removed the app; its tokens were deleted");
        Ok(())
    }

    async fn still_opens(&self, merchant: MerchantId) -> Result<bool, Failure> {
        let Some(connection) = self.ports.connections.of_merchant(merchant).await? else {
            return Ok(false);
        };
        match self.ports.accounts.shop_of(&connection.tokens.access).await {
            Ok(_) => Ok(true),
            Err(Failure::Disconnected(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// A record of a shop is another one now, or gone.
    pub async fn record_changed(
        &self,
        salla_id: i64,
        resource: Resource,
        id: i64,
    ) -> Result<bool, Failure> {
        self.ports
            .merchants
            .mark_changed(salla_id, resource, id)
            .await
    }
}

/// A shop whose tokens are forgotten has nothing to be imported with.
pub async fn cancel_open_run(jobs: &dyn Jobs, merchant: MerchantId) -> Result<(), Failure> {
    let filter = RunFilter {
        merchant: Some(merchant),
        state: None,
        limit: 1,
    };
    let latest = jobs.list(&filter).await?.pop();
    if let Some((_, run)) = latest
        && !matches!(run.state, RunState::Completed | RunState::Cancelled)
    {
        jobs.command(run.id, RunCommand::Cancel).await?;
    }
    Ok(())
}
