//! A service with a shop, and requests to its API.

use reqwest::Method;
use serde_json::Value;

use super::served::Served;
use crate::process::{present_day, program, run};
use crate::service::TestService;

/// A service with a shop that is connected, and a token.
pub(super) struct ApiFixture {
    pub(super) service: TestService,
    pub(super) served: Served,
    pub(super) token: String,
    pub(super) merchant: i64,
}

/// What came of a request.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) location: Option<String>,
}

pub(super) async fn token(service: &TestService, arguments: &[&str]) -> (String, String) {
    let all = [&["tokens", "create", "--json", "--name", "test"], arguments].concat();
    let output = run(program(service, &all)).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    (text("token"), text("id"))
}

pub(super) const ALL: [&str; 8] = [
    "--scope", "read", "--scope", "operate", "--scope", "records", "--scope", "connect",
];

impl ApiFixture {
    pub(super) async fn open(scenario: salla_simulator::Scenario, arguments: &[&str]) -> Self {
        let service = present_day(scenario).await;
        service.connect().await;
        let (token, _) = token(&service, &ALL).await;
        // All that is done for one merchant is done in transactions that see no other.
        service.open.database.create_roles().await.unwrap();
        let served = Served::start(&service, arguments).await;
        served
            .until_said("The database also keeps merchants apart")
            .await;
        Self {
            served,
            merchant: service.simulator.merchant_id(),
            service,
            token,
        }
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.send_as(&self.token, method, path, body).await
    }

    pub(super) async fn send_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Reply {
        let path = path.replace("{m}", &self.merchant.to_string());
        let mut request = self.served.http.request(method, self.served.url(&path));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        reply(request).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await
    }
}

pub(super) async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let (location, content_type) = (header("location"), header("content-type"));
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status >= 400 {
        assert_eq!(
            content_type.as_deref(),
            Some("application/problem+json"),
            "{text}"
        );
        assert_eq!(body["status"], status, "{text}");
        for name in ["type", "title", "code", "detail", "advice"] {
            let text = body[name].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name} is missing from {body}");
        }
    }
    Reply {
        status,
        body,
        location,
    }
}

pub(super) const SYNC: &str = "/api/v1/merchants/{m}/sync";
