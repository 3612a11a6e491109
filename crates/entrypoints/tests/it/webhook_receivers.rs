//! Receivers of webhooks, and what the service sends them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use domain::notification::Audience;
use entrypoints::config::{Channels, WebhookSettings};
use importer::notification_worker::NotificationWorker;
use importer::ports::queue::{DeadLetters as _, Depth, Queue as _, QueueName};
use importer::stop::stop_pair;
use importer::testing::clock::{DrivenClock, a_moment};
use notifiers::{Route, Secret, Webhook};
use serde_json::Value;
use tokio::sync::watch;

use crate::jobs::{BackgroundService, PATIENCE};
use crate::notifications::{after_an_import, count};
use crate::truth::small;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Responds as it was set to, once it was set.
pub(crate) struct Receiver {
    pub(crate) url: url::Url,
    shared: Arc<Shared>,
}

struct Shared {
    status: Mutex<u16>,
    seen: Mutex<Vec<(HeaderMap, Value)>>,
    arrivals: watch::Sender<usize>,
    answers: watch::Sender<bool>,
}

impl Receiver {
    pub(crate) async fn open() -> Self {
        let shared = Arc::new(Shared {
            status: Mutex::new(204),
            seen: Mutex::default(),
            arrivals: watch::Sender::new(0),
            answers: watch::Sender::new(true),
        });
        let app = Router::new()
            .route("/", post(take))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url: url.parse().unwrap(),
            shared,
        }
    }

    fn settings(&self) -> WebhookSettings {
        let secret = SECRET.to_owned().into();
        WebhookSettings {
            url: self.url.clone(),
            secret: Secret::parse(&secret).unwrap(),
        }
    }

    fn answer_with(&self, status: u16) {
        *self.shared.status.lock().unwrap() = status;
    }

    /// Answers from now on, or holds what comes.
    fn answers(&self, answers: bool) {
        self.shared.answers.send_replace(answers);
    }

    async fn until_asked(&self, times: usize) {
        let mut arrivals = self.shared.arrivals.subscribe();
        arrivals.wait_for(|seen| *seen >= times).await.unwrap();
    }

    /// The ids of what has come, whether it was answered or not.
    fn ids(&self) -> Vec<String> {
        let seen = self.shared.seen.lock().unwrap();
        let id = |headers: &HeaderMap| headers["webhook-id"].to_str().unwrap().to_owned();
        seen.iter().map(|(headers, _)| id(headers)).collect()
    }

    pub(crate) fn bodies(&self) -> Vec<Value> {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().map(|(_, body)| body.clone()).collect()
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> StatusCode {
    let body = serde_json::from_str(&body).unwrap();
    shared.seen.lock().unwrap().push((headers, body));
    shared.arrivals.send_modify(|seen| *seen += 1);
    let mut answers = shared.answers.subscribe();
    answers.wait_for(|answers| *answers).await.unwrap();
    let status = *shared.status.lock().unwrap();
    StatusCode::from_u16(status).unwrap()
}

/// The notification worker as the service has it, with one receiver and a clock that the test
/// drives.
fn notification_worker(
    background: &BackgroundService,
    receiver: &Receiver,
    clock: &Arc<DrivenClock>,
) -> NotificationWorker {
    let WebhookSettings { url, secret } = receiver.settings();
    let route = Route {
        client: salla_client::http::base_builder(),
        way: None,
    };
    let webhook = Webhook::new(Audience::Merchant, url, secret, route, clock.clone()).unwrap();
    NotificationWorker {
        queue: Arc::new(background.queue(QueueName::Notifications)),
        store: Arc::new(background.service.open.database.notifications()),
        notifiers: vec![Arc::new(webhook)],
        clock: clock.clone(),
    }
}

async fn depth(background: &BackgroundService) -> Depth {
    background
        .queue(QueueName::Notifications)
        .depth()
        .await
        .unwrap()
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it does not take that long")
}

/// Works until the notification queue is empty, then stops.
async fn work_until_empty(
    background: &BackgroundService,
    notification_worker: &NotificationWorker,
) {
    let (handle, stop) = stop_pair();
    let watch = async {
        loop {
            let depth = depth(background).await;
            if depth.ready + depth.delayed + depth.in_flight == 0 {
                return handle.stop();
            }
            a_moment().await;
        }
    };
    in_time(async { tokio::join!(notification_worker.run(&stop), watch) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_get_one_alert_for_a_dead_letter() {
    let background = BackgroundService::open(small(10)).await;
    let receiver = Receiver::open().await;
    let channels = Channels {
        merchants: None,
        operators: Some(receiver.settings()),
        email: None,
    };
    let mut service = background.worker(channels);
    let sweep = Arc::get_mut(&mut service.sweep).unwrap();
    sweep.settings.every = Duration::from_millis(100);
    let queue = background.queue(QueueName::Notifications);
    queue.send("poison", Duration::ZERO).await.unwrap();

    let (handle, stop) = stop_pair();
    let watch = async {
        receiver.until_asked(1).await;
        handle.stop();
    };
    in_time(async { tokio::join!(service.run(&stop), watch) }).await;
    let swept = service.sweep.sweep_once().await.unwrap();
    assert_eq!(swept.unreported, 0);

    let bodies = receiver.bodies();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(bodies[0]["type"], "ALERT");
    let data = &bodies[0]["data"];
    assert_eq!(data["code"], "dead_letters");
    let summary = data["summary"].as_str().unwrap();
    assert!(summary.contains("unreadable message"), "{summary}");
    let advice = data["advice"].as_str().unwrap();
    assert!(
        advice.contains("queue dead --queue notifications"),
        "{advice}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_for_good_is_asked_once_and_notified_after_a_redrive() {
    let background = after_an_import().await;
    let receiver = Receiver::open().await;
    receiver.answer_with(404);
    let clock = Arc::new(DrivenClock::new(background.service.clock.now()));
    let notification_worker = notification_worker(&background, &receiver, &clock);
    work_until_empty(&background, &notification_worker).await;
    let queue = background.queue(QueueName::Notifications);
    let letters = queue.list(None, 10).await.unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let reason = &letters[0].reason;
    assert!(reason.contains("status 404"), "{reason}");
    assert_eq!(receiver.ids().len(), 1);
    assert_eq!(count(&background, "deliveries").await, 0);

    receiver.answer_with(200);
    let all = importer::ports::queue::Redrive::All;
    assert_eq!(queue.redrive(all).await.unwrap(), 1);
    work_until_empty(&background, &notification_worker).await;
    let ids = receiver.ids();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(count(&background, "deliveries").await, 1);
    assert_eq!(queue.list(None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_a_slow_receiver_and_then_leaves_the_message_to_others() {
    let background = after_an_import().await;
    let receiver = Receiver::open().await;
    receiver.answers(false);
    let clock = Arc::new(DrivenClock::new(background.service.clock.now()));
    let first = notification_worker(&background, &receiver, &clock);
    let (handle, stop) = stop_pair();
    let watch = async {
        receiver.until_asked(1).await;
        handle.stop();
        // Only the rest of the worker's grace period sleeps on this clock.
        clock.until_asleep(1).await;
        clock.advance(Duration::from_secs(5));
    };
    in_time(async { tokio::join!(first.run(&stop), watch) }).await;
    assert_eq!(depth(&background).await.in_flight, 1, "its lease continues");
    assert_eq!(count(&background, "deliveries").await, 0);

    receiver.answers(true);
    sqlx::query("UPDATE salla_sync.queue_messages SET visible_at = '2000-01-01'")
        .execute(background.service.open.database.pool())
        .await
        .unwrap();
    work_until_empty(
        &background,
        &notification_worker(&background, &receiver, &clock),
    )
    .await;
    let ids = receiver.ids();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1], "the receiver can know it by its id");
    assert_eq!(count(&background, "notifications").await, 1);
    assert_eq!(count(&background, "deliveries").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_answers_during_the_stop_is_not_notified_again() {
    let background = after_an_import().await;
    let receiver = Receiver::open().await;
    receiver.answers(false);
    let clock = Arc::new(DrivenClock::new(background.service.clock.now()));
    let notification_worker = notification_worker(&background, &receiver, &clock);
    let (handle, stop) = stop_pair();
    let watch = async {
        receiver.until_asked(1).await;
        handle.stop();
        clock.until_asleep(1).await;
        receiver.answers(true);
    };
    // The clock stands still: the worker ends because it is done.
    in_time(async { tokio::join!(notification_worker.run(&stop), watch) }).await;
    let depth = depth(&background).await;
    assert_eq!(depth.ready + depth.delayed + depth.in_flight, 0);
    assert_eq!(receiver.ids().len(), 1);
    assert_eq!(count(&background, "deliveries").await, 1);
}
