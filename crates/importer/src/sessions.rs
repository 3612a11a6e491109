//! Sessions of merchants: opened by what the platform vouches for, replaced while they are used,
//! ended by time, by the merchant, by an operator, or by the removal of the app.

use std::net::IpAddr;
use std::sync::Arc;

use domain::failure::Failure;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::ports::audit::{Action, Actor, Audit, AuditEvent};
use crate::ports::clock::Clock;
use crate::ports::sessions::{Carrier, FoundSession, NewSession, OpenedBy, Session, Sessions};
use crate::ports::sessions::{Introspection, IntrospectionError};

/// A page in a frame requests another token from the dashboard when this has expired.
const BEARER_LASTS: SignedDuration = SignedDuration::from_hours(1);
/// A cookie that is not used.
const COOKIE_IDLE: SignedDuration = SignedDuration::from_hours(12);
/// A cookie that is used every day.
const COOKIE_LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);
const ROTATE_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// For requests that were sent before the response with the new secret arrived.
const FORMER_COUNTS: SignedDuration = SignedDuration::from_secs(60);
/// Ended sessions are kept this long, for investigations.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Why a dashboard's token opened no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// This server is not set up for pages inside the dashboard.
    #[error("sessions are not opened with dashboard tokens here")]
    NotOffered,
    #[error("{0}")]
    Introspection(#[from] IntrospectionError),
    #[error("{0}")]
    Failure(#[from] Failure),
}

/// Hashes come from outside, so nothing in here ever sees a secret.
#[derive(Clone)]
pub struct MerchantSessions {
    pub sessions: Arc<dyn Sessions>,
    /// Without it no page inside the dashboard opens a session.
    pub introspection: Option<Arc<dyn Introspection>>,
    pub audit: Arc<dyn Audit>,
    pub clock: Arc<dyn Clock>,
}

impl MerchantSessions {
    /// Opens a session for the merchant that the platform names for a dashboard's token.
    pub async fn exchange(
        &self,
        token: &SecretString,
        hash: [u8; 32],
        address: Option<IpAddr>,
    ) -> Result<Session, ExchangeError> {
        let Some(introspection) = &self.introspection else {
            return Err(ExchangeError::NotOffered);
        };
        let introspected = match introspection.introspect(token).await {
            Ok(introspected) if introspected.expires_at > self.clock.now() => introspected,
            Ok(_) => {
                let ended = IntrospectionError::Refused("the token has expired");
                self.record_refusal(&ended, address).await;
                return Err(ended.into());
            }
            Err(error) => {
                self.record_refusal(&error, address).await;
                return Err(error.into());
            }
        };
        let now = self.clock.now();
        let new = NewSession {
            salla_id: introspected.merchant,
            hash,
            carrier: Carrier::Bearer,
            opened_by: OpenedBy::Embedded,
            person: introspected.person,
            expires_at: now + BEARER_LASTS,
            ends_at: now + BEARER_LASTS,
        };
        Ok(self.open(&new, address).await?)
    }

    /// Opens a session that a cookie carries.
    pub async fn sign_in(
        &self,
        salla_id: i64,
        opened_by: OpenedBy,
        hash: [u8; 32],
        address: Option<IpAddr>,
    ) -> Result<Session, Failure> {
        let now = self.clock.now();
        let new = NewSession {
            salla_id,
            hash,
            carrier: Carrier::Cookie,
            opened_by,
            person: None,
            expires_at: now + COOKIE_IDLE,
            ends_at: now + COOKIE_LASTS,
        };
        self.open(&new, address).await
    }

    async fn open(&self, new: &NewSession, address: Option<IpAddr>) -> Result<Session, Failure> {
        let session = self.sessions.open(new).await?;
        let event = AuditEvent::new(Action::SessionOpened, Actor::Session(session.id))
            .shop(session.salla_id)
            .from(address)
            .detail(new.opened_by.as_str());
        self.audit.record(&event).await?;
        Ok(session)
    }

    /// The session that this secret opens now, carried as it should be.
    pub async fn find(
        &self,
        hash: &[u8; 32],
        carrier: Carrier,
        address: Option<IpAddr>,
    ) -> Result<Option<Session>, Failure> {
        match self.sessions.find(hash).await? {
            Some(FoundSession::Present(session)) if session.carrier == carrier => Ok(Some(session)),
            Some(FoundSession::Former(session)) if session.carrier == carrier => {
                let since = self.clock.now().duration_since(session.rotated_at);
                if since <= FORMER_COUNTS {
                    return Ok(Some(session));
                }
                self.end_copied(&session, address).await?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Two carry one session: which of them is the merchant cannot be known.
    async fn end_copied(&self, session: &Session, address: Option<IpAddr>) -> Result<(), Failure> {
        tracing::warn!(
            security = true, session = %session.id,
            "a replaced session secret was presented; the session was ended"
        );
        self.sessions.revoke(session.id).await?;
        let event = AuditEvent::new(Action::SessionCopied, Actor::Session(session.id))
            .shop(session.salla_id)
            .from(address);
        self.audit.record(&event).await
    }

    /// Whether the next response must replace the secret.
    pub fn is_due(&self, session: &Session) -> bool {
        let since = self.clock.now().duration_since(session.rotated_at);
        session.carrier == Carrier::Cookie && since >= ROTATE_AFTER
    }

    /// Until when the secret `to` counts; `None`: another request has replaced `from`.
    pub async fn rotate(
        &self,
        session: &Session,
        from: &[u8; 32],
        to: &[u8; 32],
    ) -> Result<Option<Timestamp>, Failure> {
        let expires_at = (self.clock.now() + COOKIE_IDLE).min(session.ends_at);
        let rotated = self.sessions.rotate(session.id, from, to, expires_at);
        Ok(rotated.await?.then_some(expires_at))
    }

    /// The merchant signs out.
    pub async fn close(&self, session: &Session, address: Option<IpAddr>) -> Result<(), Failure> {
        if self.sessions.revoke(session.id).await? {
            let event = AuditEvent::new(Action::SessionClosed, Actor::Session(session.id))
                .shop(session.salla_id)
                .from(address);
            self.audit.record(&event).await?;
        }
        Ok(())
    }

    /// Ends all sessions of a shop, and says how many those were.
    pub async fn revoke_all(&self, salla_id: i64, actor: Actor) -> Result<u64, Failure> {
        let ended = self.sessions.revoke_all(salla_id).await?;
        if ended > 0 {
            let event = AuditEvent::new(Action::SessionsRevoked, actor)
                .shop(salla_id)
                .detail(format!("{ended} ended"));
            self.audit.record(&event).await?;
        }
        Ok(ended)
    }

    /// Deletes what is over for a day.
    pub async fn clear(&self) -> Result<(), Failure> {
        let before = self.clock.now() - KEPT;
        self.sessions.clear(before).await
    }

    /// What is refused is refused whether or not it can be recorded.
    async fn record_refusal(&self, error: &IntrospectionError, address: Option<IpAddr>) {
        tracing::warn!(security = true, %error, "a dashboard's token opened no session");
        if !matches!(error, IntrospectionError::Refused(_)) {
            return;
        }
        let event = AuditEvent::new(Action::SessionRefused, Actor::Browser)
            .from(address)
            .detail(error.to_string());
        if let Err(failure) = self.audit.record(&event).await {
            tracing::error!(%failure, "a refused session could not be recorded");
        }
    }
}
