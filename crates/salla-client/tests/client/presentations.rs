//! What becomes of a refresh token whose fate is unknown, and of lifetimes that make no
//! sense.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::{Disconnection, Failure};
use importer::ports::clock::Clock;
use importer::ports::connections::{ConnectionState, Tokens};
use importer::testing::clock::{DrivenClock, a_moment};
use jiff::{SignedDuration, Timestamp};
use salla_client::tokens::TokenKeeper;
use tokio::sync::Notify;

use crate::connections::{MemoryConnections, tokens};
use crate::fake_salla::{FakeSalla, Reply, clock};
use crate::tokens::{PATH, access, ending_soon, issues, keeper, keeper_at, presented, stored};

const PERSON: &str = "/oauth2/user/info";
const LOST: Failure = Failure::Disconnected(Disconnection::RefreshLost);

fn says(status: u16, body: &str) -> Reply {
    Reply::Says(status, &[], body.to_owned())
}

/// All that says nothing for sure about the token that was presented.
fn unknown_fates() -> Vec<Reply> {
    let html = "<!DOCTYPE html><html><title>Just a moment...</title></html>";
    let mut fates = vec![Reply::HangsUp, Reply::Hangs, Reply::CutOff];
    for status in [200, 302, 403, 404, 408, 500, 502, 503, 504] {
        fates.push(says(status, html));
    }
    for status in [200, 400, 401, 500, 503] {
        fates.push(says(status, ""));
    }
    for (status, code) in [
        (400, "invalid_request"),
        (401, "request_unauthorized"),
        (403, "request_forbidden"),
        (400, "invalid_state"),
        (409, "serialization_failure"),
        (400, "server_error"),
        (500, "server_error"),
        (503, "temporarily_unavailable"),
        (500, "invalid_grant"),
        (503, "invalid_client"),
        (400, "something_new"),
        (200, "invalid_grant"),
    ] {
        fates.push(says(status, &format!(r#"{{"error":"{code}"}}"#)));
    }
    let long = "x".repeat(2 << 20);
    fates.push(says(
        200,
        &format!(r#"{{"access_token":"x","scope":"{long}"}}"#),
    ));
    fates.push(says(200, r#"{"access_token":null,"refresh_token":"r2"}"#));
    fates.push(says(200, r#"{"access_token":"x","refresh_token":"r2""#));
    fates
}

async fn rejected(keeper: &Arc<TokenKeeper>) -> Result<(), Failure> {
    let token = keeper.current().await?;
    keeper.rejected(&token).await
}

#[tokio::test]
async fn where_the_fate_is_unknown_the_token_is_presented_one_last_time() {
    for fate in unknown_fates() {
        let salla = FakeSalla::start().await;
        salla.on(PATH, [fate.clone(), issues("second", "r2")]);
        let connections = stored();
        let clock = clock();
        let keeper = keeper_at(&salla.url, &connections, &clock);
        let before = clock.monotonic();
        assert_eq!(rejected(&keeper).await, Ok(()), "{fate:?}");
        assert_eq!(access(&keeper).await, "second", "{fate:?}");
        assert_eq!(salla.seen(PATH).len(), 2, "{fate:?}");
        // An outage that swallowed one response would swallow the next.
        let took = clock.monotonic() - before;
        assert!(took >= Duration::from_secs(25), "{took:?} {fate:?}");
    }
}

#[tokio::test]
async fn nothing_is_presented_after_the_last_time() {
    let dead = says(400, r#"{"error":"invalid_grant"}"#);
    for last in [Reply::HangsUp, says(503, ""), dead] {
        let salla = FakeSalla::start().await;
        salla.on(PATH, [Reply::HangsUp, last.clone(), issues("third", "r3")]);
        let connections = stored();
        let keeper = keeper(&salla, &connections);
        for _ in 0..3 {
            assert_eq!(rejected(&keeper).await, Err(LOST), "{last:?}");
        }
        assert_eq!(salla.seen(PATH).len(), 2, "{last:?}");
        let why = Disconnection::RefreshLost;
        assert_eq!(
            connections.row().state,
            ConnectionState::Disconnected { why }
        );
    }
}

/// Of each word that an OAuth server has: what happens to the token, and how often it is
/// presented by three attempts that need a new one.
#[tokio::test]
async fn every_known_error_says_what_becomes_of_the_token() {
    let refused = Failure::Disconnected(Disconnection::RefreshRefused);
    let dead = [
        (400, "invalid_grant"),
        (401, "invalid_grant"),
        (403, "invalid_grant"),
        (401, "token_inactive"),
        (401, "token_expired"),
        (401, "invalid_token"),
        (403, "access_denied"),
    ];
    let untouched = [
        (401, "invalid_client"),
        (400, "unauthorized_client"),
        (400, "unsupported_grant_type"),
        (400, "invalid_scope"),
    ];
    let table = dead
        .map(|case| (case, 1))
        .into_iter()
        .chain(untouched.map(|case| (case, 3)));
    for ((status, code), presentations) in table {
        let salla = FakeSalla::start().await;
        salla.on(PATH, [says(status, &format!(r#"{{"error":"{code}"}}"#))]);
        let connections = stored();
        let keeper = keeper(&salla, &connections);
        for _ in 0..3 {
            let failure = rejected(&keeper).await.unwrap_err();
            match presentations {
                1 => assert_eq!(failure, refused, "{code}"),
                _ => assert!(matches!(failure, Failure::Broken { .. }), "{failure:?}"),
            }
        }
        assert_eq!(salla.seen(PATH).len(), presentations, "{status} {code}");
    }
}

/// What an accounts host says that is away, or that a page stands in front of.
fn outages() -> Vec<Reply> {
    let html = "<!DOCTYPE html><html><title>Back soon</title></html>";
    let mut outages = vec![Reply::HangsUp, Reply::Hangs, Reply::CutOff];
    for (status, body) in [
        (503, ""),
        (503, r#"{"error":"temporarily_unavailable"}"#),
        (200, html),
        (200, ""),
        (200, "[]"),
        (302, html),
        (403, html),
        (404, html),
        (404, ""),
        (429, ""),
        (429, r#"{"error":"slow_down"}"#),
    ] {
        outages.push(says(status, body));
    }
    outages.push(Reply::Sends(vec![b'{'; 2 << 20]));
    outages
}

/// Its whole host is away, and comes back.
#[tokio::test]
async fn an_outage_of_the_accounts_host_disconnects_no_shop() {
    let salla = FakeSalla::start().await;
    for away in outages() {
        salla.on(PATH, [says(503, ""), away.clone()]);
        salla.on(PERSON, [away.clone()]);
        let already = salla.seen(PATH).len();
        let connections = stored();
        let keeper = keeper(&salla, &connections);
        for _ in 0..4 {
            let failure = rejected(&keeper).await.unwrap_err();
            assert!(matches!(failure, Failure::Transient { .. }), "{failure:?}");
        }
        assert_eq!(salla.seen(PATH).len() - already, 1, "{away:?}");
        salla.on(PATH, [issues("second", "r2")]);
        salla.on(PERSON, [says(401, r#"{"error":"invalid_token"}"#)]);
        assert_eq!(rejected(&keeper).await, Ok(()), "{away:?}");
        assert_eq!(access(&keeper).await, "second");
        assert_eq!(salla.seen(PATH).len() - already, 2, "{away:?}");
    }
}

/// Time passes for it as for the other one, and its time of day is wrong.
#[derive(Debug)]
struct Ahead(Arc<DrivenClock>, SignedDuration);

#[async_trait]
impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.0.now() + self.1
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

/// The time in the row is the other machine's.
#[tokio::test]
async fn a_clock_that_is_wrong_ends_no_wait_for_another_process() {
    for seconds in [58, -58] {
        let salla = FakeSalla::start().await;
        let released = Arc::new(Notify::new());
        let pair = r#"{"access_token":"second","refresh_token":"r2"}"#;
        let late = Reply::Waits(released.clone(), pair.to_owned());
        salla.on(PATH, [late, Reply::Hangs]);
        let connections = stored();
        let driven = Arc::new(DrivenClock::new(clock().now()));
        let ahead = Ahead(driven.clone(), SignedDuration::from_secs(seconds));
        let clocks: [Arc<dyn Clock>; 2] = [driven.clone(), Arc::new(ahead)];
        let [one, two] = clocks.map(|clock| keeper_at(&salla.url, &connections, &clock));
        let presentations = || salla.seen(PATH).len();

        let first = tokio::spawn(async move { rejected(&one).await });
        while presentations() == 0 {
            a_moment().await;
        }
        let second = tokio::spawn({
            let two = two.clone();
            async move { rejected(&two).await }
        });
        // One waits for its response, the other one until it looks at the row again.
        driven.until_asleep(2).await;
        for _ in 0..20 {
            let loads = connections.loads.load(Ordering::SeqCst);
            driven.advance(Duration::from_secs(1));
            while connections.loads.load(Ordering::SeqCst) == loads && presentations() == 1 {
                a_moment().await;
            }
            assert_eq!(presentations(), 1, "{seconds}");
            driven.until_asleep(2).await;
        }
        released.notify_one();
        first.await.unwrap().unwrap();
        driven.advance(Duration::from_secs(1));
        second.await.unwrap().unwrap();
        assert_eq!(access(&two).await, "second");
        assert_eq!(presentations(), 1, "{seconds}");
    }
}

#[tokio::test]
async fn a_lost_early_refresh_leaves_the_old_token_in_use_until_its_401() {
    let salla = FakeSalla::start().await;
    salla.on(PATH, [Reply::HangsUp, issues("second", "r2")]);
    let connections = MemoryConnections::holding(ending_soon());
    let keeper = keeper(&salla, &connections);
    for _ in 0..3 {
        assert_eq!(access(&keeper).await, "first");
    }
    assert_eq!(salla.seen(PATH).len(), 1);
    rejected(&keeper).await.unwrap();
    assert_eq!(access(&keeper).await, "second");
    assert_eq!(salla.seen(PATH).len(), 2);
}

#[tokio::test]
async fn newer_tokens_that_arrive_after_a_loss_are_used_and_nothing_is_presented() {
    let salla = FakeSalla::start().await;
    salla.on(PATH, [Reply::HangsUp, issues("second", "r2")]);
    let connections = MemoryConnections::holding(ending_soon());
    let keeper = keeper(&salla, &connections);
    assert_eq!(access(&keeper).await, "first");
    connections.replace(tokens("brought", Some("r9")));
    rejected(&keeper).await.unwrap();
    assert_eq!(access(&keeper).await, "brought");
    assert_eq!(salla.seen(PATH).len(), 1);

    // While the last presentation is waited for.
    salla.on(PATH, [Reply::HangsUp, issues("second", "r2")]);
    let connections = stored();
    let clock = clock();
    let keeper = keeper_at(&salla.url, &connections, &clock);
    let waiting = tokio::spawn({
        let keeper = keeper.clone();
        async move { rejected(&keeper).await }
    });
    while !matches!(connections.row().state, ConnectionState::Refreshing(p) if p.is_lost) {
        tokio::task::yield_now().await;
    }
    connections.replace(tokens("brought", Some("r9")));
    waiting.await.unwrap().unwrap();
    assert_eq!(access(&keeper).await, "brought");
    assert_eq!(salla.seen(PATH).len(), 2);
}

/// A process has died after each step; another one takes over.
#[tokio::test]
async fn a_crash_at_any_step_costs_one_presentation() {
    // (Presentations that were committed, whether the loss was reported, presented now).
    let table = [(1, false, 1), (1, true, 1), (2, false, 0), (2, true, 0)];
    for (times, is_lost, expected) in table {
        let salla = FakeSalla::start().await;
        salla.on(PATH, [issues("second", "r2")]);
        let connections = stored();
        let clock = clock();
        let keeper = keeper_at(&salla.url, &connections, &clock);
        connections.set_state(presented(&clock, times, is_lost));
        assert_eq!(access(&keeper).await, "first", "the old token serves");
        let before = clock.monotonic();
        let outcome = rejected(&keeper).await;
        let took = clock.monotonic() - before;
        let case = format!("{times} {is_lost} {outcome:?} after {took:?}");
        assert_eq!(outcome.is_ok(), expected == 1, "{case}");
        assert_eq!(salla.seen(PATH).len(), expected, "{case}");
        if !is_lost {
            assert!(
                took >= Duration::from_secs(55),
                "it may be under way: {case}"
            );
        }
    }
}

#[tokio::test]
async fn a_last_presentation_that_was_not_looked_at_may_be_made_again() {
    let salla = FakeSalla::start().await;
    let wait = Reply::Says(429, &[("retry-after", "7")], String::new());
    let refused = says(401, r#"{"error":"invalid_client"}"#);
    salla.on(PATH, [says(502, ""), wait, refused, issues("second", "r2")]);
    let keeper = keeper(&salla, &stored());
    let wait = Duration::from_secs(7);
    assert_eq!(rejected(&keeper).await, Err(Failure::Throttled { wait }));
    let failure = rejected(&keeper).await.unwrap_err();
    assert!(matches!(failure, Failure::Broken { .. }), "{failure:?}");
    rejected(&keeper).await.unwrap();
    assert_eq!(access(&keeper).await, "second");
}

/// Members of the response that say when the token ends, and say nothing.
const SENSELESS: [&str; 12] = [
    r#""expires_in":0"#,
    r#""expires_in":"0""#,
    r#""expires_in":-1"#,
    r#""expires_in":null"#,
    r#""expires_in":"soon""#,
    r#""expires_in":9223372036854775807"#,
    r#""expires_in":[]"#,
    r#""expires":1000000001"#,
    r#""expires":1700000000000"#,
    r#""expires":"1700000000""#,
    r#""expires_in":0,"expires":0"#,
    r#""scope":"x""#,
];

#[tokio::test]
async fn a_lifetime_that_makes_no_sense_costs_one_refresh() {
    for members in SENSELESS {
        let salla = FakeSalla::start().await;
        let body = format!(r#"{{"access_token":"second","refresh_token":"r2",{members}}}"#);
        salla.on(PATH, [says(200, &body)]);
        let connections = MemoryConnections::holding(ending_soon());
        let driven = Arc::new(DrivenClock::new(clock().now()));
        let clock: Arc<dyn Clock> = driven.clone();
        let keeper = keeper_at(&salla.url, &connections, &clock);
        for _ in 0..20 {
            assert_eq!(access(&keeper).await, "second", "{members}");
            driven.advance(Duration::from_secs(20));
        }
        assert_eq!(salla.seen(PATH).len(), 1, "{members}");
    }
}

/// However short tokens live, and however many programs use them.
#[tokio::test]
async fn there_is_one_early_refresh_a_minute_at_most() {
    let start = clock().now();
    let driven = Arc::new(DrivenClock::new(start));
    let clock: Arc<dyn Clock> = driven.clone();
    let salla = FakeSalla::start().await;
    salla.on(
        PATH,
        (0..100).map(|number| {
            says(
                200,
                &format!(
                    r#"{{"access_token":"a{number}","refresh_token":"r{number}","expires_in":1}}"#
                ),
            )
        }),
    );
    let connections = MemoryConnections::holding(Tokens {
        expires_at: Some(start),
        ..tokens("first", Some("r"))
    });
    const MINUTES: usize = 5;
    for _ in 0..MINUTES * 12 {
        let (one, two) = (
            keeper_at(&salla.url, &connections, &clock),
            keeper_at(&salla.url, &connections, &clock),
        );
        for _ in 0..3 {
            access(&one).await;
            access(&two).await;
        }
        driven.advance(Duration::from_secs(5));
    }
    let refreshes = salla.seen(PATH).len();
    assert!((2..=MINUTES).contains(&refreshes), "{refreshes}");
}

/// Failing over to a replica that lacks the last commits, or a restore in place.
#[tokio::test]
async fn a_process_does_not_forget_the_pair_that_the_database_has_lost() {
    let salla = FakeSalla::start().await;
    let body = |number| issues(&format!("a{number}"), &format!("r{number}"));
    salla.on(PATH, (2..9).map(body));
    let connections = stored();
    let keeper = keeper(&salla, &connections);
    let before = connections.row();
    rejected(&keeper).await.unwrap();
    assert_eq!(access(&keeper).await, "a2");

    connections.go_back_to(before.clone());
    rejected(&keeper).await.unwrap();
    assert_eq!(access(&keeper).await, "a3");
    assert_eq!(connections.row().version, 3);

    // A disconnection of former times does not count either.
    connections.go_back_to(before);
    let why = Disconnection::RefreshLost;
    connections.set_state(ConnectionState::Disconnected { why });
    rejected(&keeper).await.unwrap();
    assert_eq!(access(&keeper).await, "a4");
    let presented: Vec<String> = salla.seen(PATH).into_iter().map(|seen| seen.body).collect();
    for (number, body) in (1..).zip(&presented) {
        assert!(
            body.contains(&format!("refresh_token=r{number}&")),
            "{presented:?}"
        );
    }
    assert_eq!(presented.len(), 3);
}

/// It may have presented a token of which the database knows nothing any more.
#[tokio::test]
async fn a_lost_intent_is_not_granted_again_to_the_process_that_remembers_it() {
    let salla = FakeSalla::start().await;
    salla.on(
        PATH,
        [Reply::HangsUp, Reply::HangsUp, issues("third", "r3")],
    );
    let connections = MemoryConnections::holding(ending_soon());
    let before = connections.row();
    let keeper = keeper(&salla, &connections);
    assert_eq!(access(&keeper).await, "first");
    for _ in 0..3 {
        connections.go_back_to(before.clone());
        assert_eq!(rejected(&keeper).await, Err(LOST));
    }
    assert_eq!(salla.seen(PATH).len(), 2);
}
