//! What every adapter of [`Inbox`] has to keep.
//!
//! An adapter's tests implement [`InboxFixture`] and call [`inbox_contract!`], which
//! makes a test of each promise.
//!
//! [`inbox_contract!`]: crate::inbox_contract

#![expect(
    clippy::unwrap_used,
    reason = "a failed step has to end the test that calls it"
)]

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::ports::notifications::{Inbox, InboxFilter, Notice};

/// An adapter under test, without notifications yet.
#[async_trait]
pub trait InboxFixture: Send + Sync {
    fn inbox(&self) -> Arc<dyn Inbox>;

    /// Records another ending for the merchant of the first or the second shop.
    async fn notify(&self, shop: WhichShop) -> Notice;

    /// The time that the adapter goes by.
    fn now(&self) -> Timestamp;

    /// Lets time pass for the adapter.
    fn pass(&self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichShop {
    First,
    Second,
}

/// Makes a `#[tokio::test]` of each promise. Takes the path of an `async fn` that makes
/// a new [`InboxFixture`](crate::testing::inbox::InboxFixture).
#[macro_export]
macro_rules! inbox_contract {
    ($fixture:path) => {
        $crate::inbox_contract! { $fixture:
            notices_are_listed_as_they_were_sent_and_the_latest_first
            one_shop_sees_nothing_of_another
            one_shop_marks_nothing_of_another
            what_is_read_keeps_its_time_and_is_no_longer_unread
            of_ids_that_do_not_all_exist_none_is_marked
        }
    };
    ($fixture:path: $($promise:ident)+) => {
        $(#[tokio::test]
        async fn $promise() {
            $crate::testing::inbox::$promise(&$fixture().await).await;
        })+
    };
}

const ALL: InboxFilter = InboxFilter {
    merchant: None,
    only_unread: false,
    before: None,
    limit: 100,
};

const NONE: [Uuid; 0] = [];

async fn listed(fixture: &impl InboxFixture, filter: InboxFilter) -> Vec<Uuid> {
    let shown = fixture.inbox().list(&filter).await.unwrap();
    shown.into_iter().map(|shown| shown.notice.id).collect()
}

pub async fn notices_are_listed_as_they_were_sent_and_the_latest_first(
    fixture: &impl InboxFixture,
) {
    assert_eq!(listed(fixture, ALL).await, NONE);
    let first = fixture.notify(WhichShop::First).await;
    fixture.pass();
    let second = fixture.notify(WhichShop::Second).await;
    let shown = fixture.inbox().list(&ALL).await.unwrap();
    let notices: Vec<&Notice> = shown.iter().map(|shown| &shown.notice).collect();
    assert_eq!(notices, [&second, &first]);
    assert!(shown.iter().all(|shown| shown.read_at.is_none()));
    let latest = InboxFilter { limit: 1, ..ALL };
    assert_eq!(listed(fixture, latest).await, [second.id]);
    let next = InboxFilter {
        before: Some(second.id),
        ..latest
    };
    assert_eq!(listed(fixture, next).await, [first.id]);
}

pub async fn one_shop_sees_nothing_of_another(fixture: &impl InboxFixture) {
    let first = fixture.notify(WhichShop::First).await;
    let second = fixture.notify(WhichShop::Second).await;
    for notice in [first, second] {
        let filter = InboxFilter {
            merchant: Some(notice.shop.merchant),
            ..ALL
        };
        assert_eq!(listed(fixture, filter).await, [notice.id]);
    }
}

pub async fn one_shop_marks_nothing_of_another(fixture: &impl InboxFixture) {
    let first = fixture.notify(WhichShop::First).await;
    let second = fixture.notify(WhichShop::Second).await;
    let inbox = fixture.inbox();
    let own = Some(first.shop.merchant);
    let given = [first.id, second.id];
    assert_eq!(inbox.mark_read(&given, own).await.unwrap(), [second.id]);
    let shown = inbox.list(&ALL).await.unwrap();
    assert!(shown.iter().all(|shown| shown.read_at.is_none()));
    assert_eq!(inbox.mark_read(&[first.id], own).await.unwrap(), NONE);
}

pub async fn what_is_read_keeps_its_time_and_is_no_longer_unread(fixture: &impl InboxFixture) {
    let read = fixture.notify(WhichShop::First).await;
    fixture.pass();
    let unread = fixture.notify(WhichShop::First).await;
    let inbox = fixture.inbox();
    let read_at = fixture.now();
    assert_eq!(
        inbox.mark_read(&[read.id, read.id], None).await.unwrap(),
        NONE
    );
    fixture.pass();
    assert_eq!(inbox.mark_read(&[read.id], None).await.unwrap(), NONE);
    let shown = inbox.list(&ALL).await.unwrap();
    let times: Vec<_> = shown
        .iter()
        .map(|shown| (shown.notice.id, shown.read_at))
        .collect();
    assert_eq!(times, [(unread.id, None), (read.id, Some(read_at))]);
    let only_unread = InboxFilter {
        only_unread: true,
        ..ALL
    };
    assert_eq!(listed(fixture, only_unread).await, [unread.id]);
    assert_eq!(inbox.mark_read(&[], None).await.unwrap(), NONE);
}

pub async fn of_ids_that_do_not_all_exist_none_is_marked(fixture: &impl InboxFixture) {
    let notice = fixture.notify(WhichShop::First).await;
    let unknown_ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let given = [unknown_ids[1], notice.id, unknown_ids[0], unknown_ids[1]];
    let mut unknown = fixture.inbox().mark_read(&given, None).await.unwrap();
    unknown.sort_unstable();
    unknown.dedup();
    assert_eq!(unknown, unknown_ids);
    let shown = fixture.inbox().list(&ALL).await.unwrap();
    assert_eq!(shown[0].read_at, None);
}
