//! The status of an import as it changes.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::{ApiFixture, SYNC, token};
use crate::truth::small;

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_sent_as_it_changes_until_the_import_is_over() {
    let api = ApiFixture::open(small(300), &["--with-worker"]).await;
    let started = api.post(SYNC, json!({"syncDepthMonths": 12})).await;
    assert_eq!(started.status, 202);
    let path = format!("{SYNC}/events").replace("{m}", &api.merchant.to_string());
    let request = api.served.http.get(api.served.url(&path));
    let response = request.bearer_auth(&api.token).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    // The server ends the stream.
    let stream = tokio::time::timeout(super::served::TIMEOUT, response.text());
    let text = stream.await.unwrap().unwrap();
    let states: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .map(|status| status["run"]["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states.last().unwrap(), "COMPLETED", "{states:?}");
    assert!(text.starts_with("event: status\n"), "{text}");
    let refused = api.send_as("", Method::GET, &path, None).await;
    assert_eq!(refused.status, 401);

    // A client that has seen the last status gets nothing again.
    let mut ids = text
        .lines()
        .rev()
        .filter_map(|line| line.strip_prefix("id: "));
    let request = api.served.http.get(api.served.url(&path));
    let request = request.header("last-event-id", ids.next().unwrap());
    let again = request.bearer_auth(&api.token).send().await.unwrap();
    assert_eq!(again.text().await.unwrap(), "");

    // A ticket opens its shop's stream once, within its time.
    let tickets = format!("{path}/tickets");
    let ticket = async || {
        let reply = api.post(&tickets, json!({})).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.body["ticket"].as_str().unwrap().to_owned()
    };
    let open = |ticket: String, path: &str| {
        let url = api.served.url(&format!("{path}?ticket={ticket}"));
        let request = api.served.http.get(url);
        async move {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            (status, response.text().await.unwrap())
        }
    };
    let once = ticket().await;
    let (status, text) = open(once.clone(), &path).await;
    assert_eq!((status, text.contains("COMPLETED")), (200, true), "{text}");
    assert_eq!(open(once, &path).await.0, 401);
    let other = "/api/v1/merchants/0199d0a2-7c1e-7a11-8f00-000000000001/sync/events";
    assert_eq!(open(ticket().await, other).await.0, 404);
    for none in ["", "x", "متجر", "%00", "' OR true --"] {
        assert_eq!(open(none.to_owned(), &path).await.0, 401, "{none}");
    }
    let late = ticket().await;
    let expire = "UPDATE salla_sync.event_tickets SET expires_at = now()";
    let pool = api.service.open.database.pool();
    sqlx::query(expire).execute(pool).await.unwrap();
    assert_eq!(open(late, &path).await.0, 401);
    let (operator, _) = token(&api.service, &["--scope", "operate"]).await;
    let refused = api.send_as(&operator, Method::POST, &tickets, None).await;
    assert_eq!(refused.status, 403);
}
