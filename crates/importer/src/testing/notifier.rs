//! What every channel to people has to keep.
//!
//! An adapter's tests implement [`NotifierFixture`] and call [`notifier_contract!`], which
//! makes a test of each promise.
//!
//! [`notifier_contract!`]: crate::notifier_contract

#![expect(
    clippy::unwrap_used,
    reason = "a failed step has to end the test that calls it"
)]

use std::sync::Arc;

use async_trait::async_trait;
use domain::job::NotificationKind;
use domain::notification::Audience;
use domain::run::RunId;
use domain::shop::MerchantId;
use uuid::Uuid;

use crate::ports::notifications::{Notice, Notifier};
use crate::ports::runs::{RecordedFailure, ShopSummary, StoredProgress};

/// What the other side does with what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSide {
    /// It refuses for now, as when it is busy.
    RefusesForNow,
    /// It refuses, and would refuse the same again.
    Refuses,
    /// It closes the connection instead of answering.
    HangsUp,
}

/// A channel and its other side, which accepts everything until it is set to fail.
#[async_trait]
pub trait NotifierFixture: Send + Sync {
    fn notifier(&self) -> Arc<dyn Notifier>;

    /// Lets the other side do this once.
    async fn next(&self, does: OtherSide);

    /// What the other side has taken: by which name each came that receivers know it by.
    async fn taken(&self) -> Vec<String>;

    /// Texts that must not be in any failure: secrets, addresses of people.
    fn unspeakable(&self) -> Vec<String>;
}

/// Makes a `#[tokio::test]` of each promise. Takes the path of an `async fn` that makes a new
/// [`NotifierFixture`](crate::testing::notifier::NotifierFixture).
#[macro_export]
macro_rules! notifier_contract {
    ($fixture:path) => {
        $crate::notifier_contract! { $fixture:
            every_kind_of_notice_is_taken_once
            a_notice_that_comes_again_is_known_by_its_name
            what_the_other_side_refuses_for_now_is_worth_another_try
            what_the_other_side_refuses_for_good_is_not
            a_failure_says_nothing_that_must_not_be_said
        }
    };
    ($fixture:path: $($promise:ident)+) => {
        $(#[tokio::test]
        async fn $promise() {
            $crate::testing::notifier::$promise(&$fixture().await).await;
        })+
    };
}

/// A notice of this kind, about a shop with an Arabic name.
pub fn notice(number: u128, kind: NotificationKind) -> Notice {
    let failure = match kind {
        NotificationKind::SyncComplete => None,
        NotificationKind::SyncFailed | NotificationKind::ReconnectNeeded => Some(RecordedFailure {
            code: "broken".to_owned(),
            message: "the envelope cannot be read".to_owned(),
            advice: "run `salla-sync doctor`".to_owned(),
        }),
    };
    Notice {
        id: Uuid::from_u128(number),
        kind,
        shop: ShopSummary {
            merchant: MerchantId(Uuid::from_u128(1)),
            salla_id: 42,
            name: "متجر النخلة".to_owned(),
            plan: "plus".to_owned(),
        },
        run: RunId(Uuid::from_u128(2)),
        ended_at: "2026-06-15T09:00:00Z".parse().unwrap(),
        progress: StoredProgress {
            orders: 1_234,
            ..StoredProgress::default()
        },
        failure,
    }
}

/// A kind that the channel's audience receives.
fn received_kind(notifier: &dyn Notifier) -> NotificationKind {
    match notifier.audience() {
        Audience::Merchant => NotificationKind::SyncComplete,
        Audience::Operator => NotificationKind::SyncFailed,
    }
}

pub async fn every_kind_of_notice_is_taken_once(fixture: &impl NotifierFixture) {
    let notifier = fixture.notifier();
    let kinds = NotificationKind::ALL;
    let kinds = kinds
        .iter()
        .filter(|kind| notifier.audience().receives(**kind));
    let mut sent = 0;
    for (number, kind) in kinds.enumerate() {
        let notice = notice(number as u128 + 1, *kind);
        notifier.deliver(&notice).await.unwrap();
        sent += 1;
    }
    let mut taken = fixture.taken().await;
    assert_eq!(taken.len(), sent);
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), sent, "each has a name that is its own");
}

pub async fn a_notice_that_comes_again_is_known_by_its_name(fixture: &impl NotifierFixture) {
    let notifier = fixture.notifier();
    let notice = notice(7, received_kind(notifier.as_ref()));
    notifier.deliver(&notice).await.unwrap();
    notifier.deliver(&notice).await.unwrap();
    let taken = fixture.taken().await;
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0], taken[1]);
    assert!(taken[0].contains(&notice.id.to_string()), "{}", taken[0]);
}

pub async fn what_the_other_side_refuses_for_now_is_worth_another_try(
    fixture: &impl NotifierFixture,
) {
    let notifier = fixture.notifier();
    let notice = notice(7, received_kind(notifier.as_ref()));
    for does in [OtherSide::RefusesForNow, OtherSide::HangsUp] {
        fixture.next(does).await;
        let failure = notifier.deliver(&notice).await.unwrap_err();
        assert!(failure.resumes_by_itself(), "{does:?}: {failure}");
    }
    assert_eq!(fixture.taken().await.len(), 0);
    notifier.deliver(&notice).await.unwrap();
    assert_eq!(fixture.taken().await.len(), 1);
}

pub async fn what_the_other_side_refuses_for_good_is_not(fixture: &impl NotifierFixture) {
    let notifier = fixture.notifier();
    let notice = notice(7, received_kind(notifier.as_ref()));
    fixture.next(OtherSide::Refuses).await;
    let failure = notifier.deliver(&notice).await.unwrap_err();
    assert!(!failure.resumes_by_itself(), "{failure}");
    assert_eq!(fixture.taken().await.len(), 0);
}

pub async fn a_failure_says_nothing_that_must_not_be_said(fixture: &impl NotifierFixture) {
    let notifier = fixture.notifier();
    let notice = notice(7, received_kind(notifier.as_ref()));
    for does in [
        OtherSide::RefusesForNow,
        OtherSide::Refuses,
        OtherSide::HangsUp,
    ] {
        fixture.next(does).await;
        let failure = notifier.deliver(&notice).await.unwrap_err();
        let said = format!("{failure} {failure:?}");
        for text in fixture.unspeakable() {
            assert!(!said.contains(&text), "{does:?}: it says {text}");
        }
        assert!(!said.contains(&notice.shop.name), "{does:?}: {said}");
    }
}
