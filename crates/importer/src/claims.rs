//! Which of the app's accounts a shop belongs to: claims and tokens, in any order.
//!
//! A shop that has an account keeps it. What else a claim brings, such as how many months are
//! wished, is done once the shop is connected.

use std::net::IpAddr;
use std::sync::Arc;

use domain::failure::Failure;
use jiff::SignedDuration;
use tokio::sync::Notify;

use crate::import::Reading;
use crate::ports::audit::{Action, Actor, Audit, AuditEvent};
use crate::ports::claims::SyncDepth;
use crate::ports::claims::{Claimed, ClaimedBy, Claims, NewClaim, UsedCode};
use crate::ports::clock::Clock;
use crate::ports::merchants::{MerchantConnection, MerchantRef, Merchants};
use crate::start::Starter;

/// For a merchant to find the app's settings at the platform.
pub const CODES_LAST: SignedDuration = SignedDuration::from_hours(1);
/// For a customer of the app to follow a link.
pub const LINKS_LAST: SignedDuration = SignedDuration::from_mins(15);
/// The platform may send the settings again with a code in them.
const CODES_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
const LINKS_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Why a shop was not claimed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotClaimed {
    #[error("there is no such code")]
    UnknownCode,
    #[error("the code has expired")]
    ExpiredCode,
    #[error("another shop has used the code")]
    SpentCode,
    #[error("the shop belongs to another account, and was not moved")]
    OtherAccount,
    #[error("{0}")]
    Failure(#[from] Failure),
}

#[derive(Clone)]
pub struct ClaimShops {
    pub claims: Arc<dyn Claims>,
    pub merchants: Arc<dyn Merchants>,
    pub starter: Starter,
    pub audit: Arc<dyn Audit>,
    pub clock: Arc<dyn Clock>,
    /// Notified when tokens that have waited for a claim may be looked at.
    pub claimed: Arc<Notify>,
}

impl ClaimShops {
    /// The merchant of the shop has shown up, or an account has been named.
    pub async fn claim(
        &self,
        claim: &NewClaim,
        actor: Actor,
        address: Option<IpAddr>,
    ) -> Result<(), NotClaimed> {
        let claimed = self.claims.claim(claim).await?;
        let detail = match &claim.account {
            Some(account) => format!("{} for {}", claim.by.as_str(), account.as_str()),
            None => claim.by.as_str().to_owned(),
        };
        self.record(claimed, claim.salla_id, actor, address, detail)
            .await?;
        self.follow(claimed, claim.salla_id, claim.depth).await
    }

    /// A merchant has typed a code, here or into the app's settings at the platform. `hmac` is
    /// the code's.
    pub async fn by_code(
        &self,
        hmac: &[u8; 32],
        salla_id: i64,
        depth: Option<SyncDepth>,
        (actor, address): (Actor, Option<IpAddr>),
    ) -> Result<(), NotClaimed> {
        let refused = match self.claims.use_code(hmac, salla_id, depth).await? {
            UsedCode::Claimed(claimed) => {
                self.record(claimed, salla_id, actor, address, "code".to_owned())
                    .await?;
                return self.follow(claimed, salla_id, depth).await;
            }
            UsedCode::Unknown => NotClaimed::UnknownCode,
            UsedCode::Expired => NotClaimed::ExpiredCode,
            UsedCode::Spent => NotClaimed::SpentCode,
        };
        let event = AuditEvent::new(Action::CodeRefused, actor)
            .shop(salla_id)
            .from(address)
            .detail(refused.to_string());
        self.audit.record(&event).await?;
        Err(refused)
    }

    /// The merchant wants this many months. Imported days are not read again.
    pub async fn wish(&self, salla_id: i64, depth: SyncDepth) -> Result<(), NotClaimed> {
        // A wish without an account claims no shop.
        if self.claims.of_shop(salla_id).await?.is_none() {
            return Ok(());
        }
        let claim = NewClaim {
            salla_id,
            account: None,
            depth: Some(depth),
            by: ClaimedBy::Code,
        };
        let claimed = self.claims.claim(&claim).await?;
        self.follow(claimed, salla_id, Some(depth)).await
    }

    /// Deletes codes and links that are over for long.
    pub async fn clear(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        self.claims.clear(now - LINKS_KEPT, now - CODES_KEPT).await
    }

    async fn record(
        &self,
        claimed: Claimed,
        salla_id: i64,
        actor: Actor,
        address: Option<IpAddr>,
        detail: String,
    ) -> Result<(), Failure> {
        let action = match claimed {
            Claimed::Same => return Ok(()),
            Claimed::New => Action::ShopClaimed,
            Claimed::OtherAccount => Action::ClaimRefused,
        };
        let event = AuditEvent::new(action, actor)
            .shop(salla_id)
            .from(address)
            .detail(detail);
        self.audit.record(&event).await
    }

    /// Tokens that wait are looked at, and a shop that is connected gets what is wished.
    async fn follow(
        &self,
        claimed: Claimed,
        salla_id: i64,
        depth: Option<SyncDepth>,
    ) -> Result<(), NotClaimed> {
        match claimed {
            Claimed::OtherAccount => return Err(NotClaimed::OtherAccount),
            Claimed::Same => return Ok(()),
            Claimed::New => self.claimed.notify_one(),
        }
        let Some(depth) = depth else { return Ok(()) };
        let wanted = MerchantRef::Platform(salla_id);
        let found = self.merchants.find(wanted, None).await?;
        if let Some(found) = found
            && found.connection == MerchantConnection::Connected
        {
            let (starter, merchant) = (&self.starter, found.shop.merchant);
            starter
                .start(merchant, depth.months(), Reading::Changes)
                .await?;
        }
        Ok(())
    }
}

/// A claim without an account.
pub fn shown_up(salla_id: i64, by: ClaimedBy) -> NewClaim {
    NewClaim {
        salla_id,
        account: None,
        depth: None,
        by,
    }
}
