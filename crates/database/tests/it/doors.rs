//! Sessions, rate limits, the audit log and claims, which several servers share.

use std::sync::Arc;
use std::time::Duration;

use database::testing::TestDatabase;
use importer::ports::api_access::{RateLimits as _, Rule, Taken};
use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent, AuditFilter};
use importer::ports::claims::{
    Account, Claimed, ClaimedBy, Claims as _, NewClaim, NewCode, NewLink, Opens, SyncDepth,
    UsedCode,
};
use importer::ports::clock::Clock as _;
use importer::ports::sessions::{Carrier, FoundSession, NewSession, OpenedBy, Sessions as _};
use importer::testing::clock::DrivenClock;
use jiff::Timestamp;

const HOUR: Duration = Duration::from_secs(3_600);

async fn open() -> (Arc<DrivenClock>, TestDatabase) {
    let start = "2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap();
    let clock = Arc::new(DrivenClock::new(start));
    let db = TestDatabase::with_clock(clock.clone()).await;
    (clock, db)
}

fn session(clock: &DrivenClock, salla_id: i64, hash: u8) -> NewSession {
    NewSession {
        salla_id,
        hash: [hash; 32],
        carrier: Carrier::Cookie,
        opened_by: OpenedBy::Consent,
        person: None,
        expires_at: clock.now() + HOUR,
        ends_at: clock.now() + 2 * HOUR,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_counts_for_its_time_and_its_secret_is_replaced_once() {
    let (clock, db) = open().await;
    let sessions = db.database().sessions();
    let opened = sessions.open(&session(&clock, 7, 1)).await.unwrap();
    assert_eq!((opened.salla_id, opened.merchant), (7, None));
    assert_eq!(
        sessions.find(&[1; 32]).await.unwrap(),
        Some(FoundSession::Present(opened.clone()))
    );
    assert_eq!(sessions.find(&[9; 32]).await.unwrap(), None);

    // Of concurrent replacements exactly one succeeds.
    clock.advance(HOUR / 2);
    let later = clock.now() + HOUR;
    let replace = |to: u8| {
        let sessions = sessions.clone();
        async move { sessions.rotate(opened.id, &[1; 32], &[to; 32], later).await }
    };
    let replaced = futures::future::join_all((10..18).map(replace)).await;
    let replaced: Vec<bool> = replaced.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        replaced.iter().filter(|done| **done).count(),
        1,
        "{replaced:?}"
    );
    let winner = 10 + u8::try_from(replaced.iter().position(|done| *done).unwrap()).unwrap();
    let former = sessions.find(&[1; 32]).await.unwrap().unwrap();
    assert!(matches!(former, FoundSession::Former(_)), "{former:?}");
    let present = sessions.find(&[winner; 32]).await.unwrap().unwrap();
    assert!(matches!(present, FoundSession::Present(_)), "{present:?}");

    clock.advance(HOUR);
    assert_eq!(sessions.find(&[winner; 32]).await.unwrap(), None);
    assert!(!sessions.revoke(opened.id).await.unwrap(), "it is over");
    sessions.clear(clock.now() + HOUR).await.unwrap();
    let left = "SELECT count(*) FROM salla_sync.sessions";
    let left: i64 = sqlx::query_scalar(left).fetch_one(db.pool()).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_sessions_of_one_shop_end_together() {
    let (clock, db) = open().await;
    let sessions = db.database().sessions();
    for (shop, hash) in [(7, 1), (7, 2), (8, 3)] {
        sessions.open(&session(&clock, shop, hash)).await.unwrap();
    }
    assert_eq!(sessions.list(Some(7)).await.unwrap().len(), 2);
    assert_eq!(sessions.revoke_all(7).await.unwrap(), 2);
    assert_eq!(sessions.revoke_all(7).await.unwrap(), 0);
    assert_eq!(sessions.find(&[1; 32]).await.unwrap(), None);
    assert!(sessions.find(&[3; 32]).await.unwrap().is_some());
    let left = sessions.list(None).await.unwrap();
    assert_eq!(
        left.iter()
            .map(|session| session.salla_id)
            .collect::<Vec<_>>(),
        [8]
    );
}

const RULE: Rule = Rule {
    name: "tests",
    burst: 3,
    per: Duration::from_secs(60),
};

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_all_servers_and_comes_back_by_and_by() {
    let (clock, db) = open().await;
    let limits = db.database().rate_limits();
    let take = |caller: u8| {
        let limits = limits.clone();
        async move { limits.take(RULE, &[caller; 32]).await.unwrap() }
    };
    let taken = futures::future::join_all((0..10).map(|_| take(1))).await;
    let granted = taken
        .iter()
        .filter(|taken| **taken == Taken::Granted)
        .count();
    assert_eq!(granted, 3, "{taken:?}");
    let refused = Taken::Exhausted {
        retry_after: Duration::from_secs(20),
    };
    assert_eq!(take(1).await, refused);
    assert_eq!(take(2).await, Taken::Granted, "another caller");
    // What is refused costs nothing.
    clock.advance(Duration::from_secs(19));
    let refused = Taken::Exhausted {
        retry_after: Duration::from_secs(1),
    };
    assert_eq!(take(1).await, refused);
    clock.advance(Duration::from_secs(1));
    assert_eq!(take(1).await, Taken::Granted);
    assert_ne!(take(1).await, Taken::Granted);
    clock.advance(Duration::from_secs(60));
    for _ in 0..3 {
        assert_eq!(take(1).await, Taken::Granted);
    }
    clock.advance(Duration::from_secs(61));
    limits.clear().await.unwrap();
    let left = "SELECT count(*) FROM salla_sync.rate_limits";
    let left: i64 = sqlx::query_scalar(left).fetch_one(db.pool()).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_audit_log_is_found_by_shop_action_and_time() {
    let (clock, db) = open().await;
    let audit = db.database().audit();
    let address = Some("2001:db8::1".parse().unwrap());
    let event = AuditEvent::new(Action::SessionOpened, Actor::Browser)
        .shop(7)
        .from(address);
    audit.record(&event).await.unwrap();
    clock.advance(HOUR);
    let event = AuditEvent::new(Action::TokenCreated, Actor::Operator).detail("متجر 🌴");
    audit.record(&event).await.unwrap();
    let list = async |filter: AuditFilter| {
        let entries = audit
            .list(&AuditFilter {
                limit: 10,
                ..filter
            })
            .await
            .unwrap();
        entries
            .into_iter()
            .map(|entry| entry.action)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        list(AuditFilter::default()).await,
        ["token_created", "session_opened"]
    );
    let of_shop = AuditFilter {
        salla_id: Some(7),
        ..AuditFilter::default()
    };
    assert_eq!(list(of_shop).await, ["session_opened"]);
    let by_action = AuditFilter {
        action: Some("token_created".to_owned()),
        ..AuditFilter::default()
    };
    assert_eq!(list(by_action).await, ["token_created"]);
    let since = AuditFilter {
        since: Some(clock.now()),
        ..AuditFilter::default()
    };
    assert_eq!(list(since).await, ["token_created"]);
    audit.clear(clock.now()).await.unwrap();
    assert_eq!(list(AuditFilter::default()).await, ["token_created"]);
}

fn account(name: &str) -> Account {
    Account::new(name).unwrap()
}

fn claim(salla_id: i64, name: Option<&str>) -> NewClaim {
    NewClaim {
        salla_id,
        account: name.map(account),
        depth: None,
        by: ClaimedBy::Link,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_accounts_that_claim_a_shop_at_once_one_has_it_and_keeps_it() {
    let (_, db) = open().await;
    let claims = db.database().claims();
    assert_eq!(claims.claim(&claim(7, None)).await.unwrap(), Claimed::New);
    assert_eq!(claims.claim(&claim(7, None)).await.unwrap(), Claimed::Same);
    let names: Vec<String> = (0..8).map(|number| format!("tenant-{number}")).collect();
    let claiming = names.iter().map(|name| {
        let (claims, claim) = (claims.clone(), claim(7, Some(name)));
        async move { claims.claim(&claim).await.unwrap() }
    });
    let claimed = futures::future::join_all(claiming).await;
    let winner = claimed.iter().position(|claimed| *claimed == Claimed::New);
    let winner = &names[winner.unwrap()];
    let others = claimed
        .iter()
        .filter(|claimed| **claimed == Claimed::OtherAccount);
    assert_eq!(others.count(), 7, "{claimed:?}");
    let stored = claims.of_shop(7).await.unwrap().unwrap();
    assert_eq!(stored.account.as_ref(), Some(winner));
    assert_eq!(claims.claim(&claim(7, None)).await.unwrap(), Claimed::Same);
    let shops = claims.of_account(&account(winner)).await.unwrap();
    assert_eq!(
        shops.iter().map(|shop| shop.salla_id).collect::<Vec<_>>(),
        [7]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_serves_one_shop_and_a_link_one_browser() {
    let (clock, db) = open().await;
    let claims = db.database().claims();
    let code = NewCode {
        hmac: [1; 32],
        account: account("tenant-42"),
        depth: Some(SyncDepth::Months24),
        expires_at: clock.now() + HOUR,
    };
    claims.add_code(&code).await.unwrap();
    let use_code = |shop: i64| {
        let claims = claims.clone();
        async move { claims.use_code(&[1; 32], shop, None).await.unwrap() }
    };
    let used = futures::future::join_all((0..6).map(use_code)).await;
    let winners = used
        .iter()
        .filter(|used| **used == UsedCode::Claimed(Claimed::New));
    assert_eq!(winners.count(), 1, "{used:?}");
    assert_eq!(
        used.iter().filter(|used| **used == UsedCode::Spent).count(),
        5,
        "{used:?}"
    );
    let winner = used
        .iter()
        .position(|used| *used != UsedCode::Spent)
        .unwrap();
    let winner = i64::try_from(winner).unwrap();
    let depth = claims.of_shop(winner).await.unwrap().unwrap().depth;
    assert_eq!(depth, Some(SyncDepth::Months24));
    // Salla sends the settings again, also when the hour is over.
    clock.advance(2 * HOUR);
    assert_eq!(use_code(winner).await, UsedCode::Claimed(Claimed::Same));

    let late = NewCode {
        hmac: [2; 32],
        expires_at: clock.now() + HOUR,
        ..code
    };
    claims.add_code(&late).await.unwrap();
    claims.claim(&claim(99, Some("another"))).await.unwrap();
    let taken = claims.use_code(&[2; 32], 99, None).await.unwrap();
    assert_eq!(taken, UsedCode::Claimed(Claimed::OtherAccount));
    clock.advance(HOUR);
    let expired = claims.use_code(&[2; 32], 100, None).await.unwrap();
    assert_eq!(
        expired,
        UsedCode::Expired,
        "it claimed nothing, so it was not spent"
    );
    let unknown = claims.use_code(&[3; 32], 100, None).await.unwrap();
    assert_eq!(unknown, UsedCode::Unknown);

    let link = NewLink {
        hash: [4; 32],
        opens: Opens::Account(account("tenant-42")),
        depth: None,
        expires_at: clock.now() + HOUR,
    };
    claims.add_link(&link).await.unwrap();
    assert!(claims.has_link(&[4; 32]).await.unwrap());
    let use_link = |state: u8| {
        let claims = claims.clone();
        async move { claims.use_link(&[4; 32], Some(&[state; 32])).await.unwrap() }
    };
    let used = futures::future::join_all((10..16).map(use_link)).await;
    assert_eq!(used.iter().flatten().count(), 1, "{used:?}");
    let state = 10 + u8::try_from(used.iter().position(Option::is_some).unwrap()).unwrap();
    assert!(!claims.has_link(&[4; 32]).await.unwrap());
    let began = claims.link_of_state(&[state; 32]).await.unwrap().unwrap();
    assert_eq!(began.opens, link.opens);
    let later = clock.now() + 48 * HOUR;
    claims.clear(later, later).await.unwrap();
    assert_eq!(claims.link_of_state(&[state; 32]).await.unwrap(), None);
    assert_eq!(use_code(winner).await, UsedCode::Unknown);
}
