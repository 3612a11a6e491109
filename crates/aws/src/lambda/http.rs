//! Requests of a function URL or of an HTTP API: the payload format 2.0 of both.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// A request as HTTP has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    /// Where it comes from, as Lambda saw it.
    pub source: Option<IpAddr>,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpEvent {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: RequestContext,
}

#[derive(Debug, Deserialize)]
struct RequestContext {
    http: Http,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    #[serde(default)]
    source_ip: Option<String>,
}

impl HttpEvent {
    pub(super) fn into_request(self) -> HttpRequest {
        let target = match self.raw_query_string.is_empty() {
            true => self.raw_path,
            false => format!("{}?{}", self.raw_path, self.raw_query_string),
        };
        let mut headers: Vec<(String, String)> = self.headers.into_iter().collect();
        // Lambda takes them out of the headers.
        if !self.cookies.is_empty() {
            headers.push(("cookie".to_owned(), self.cookies.join("; ")));
        }
        let body = self.body.unwrap_or_default();
        let body = match self.is_base64_encoded {
            // What is no base64 was not encoded.
            true => STANDARD.decode(&body).unwrap_or(body.into_bytes()),
            false => body.into_bytes(),
        };
        let http = self.request_context.http;
        HttpRequest {
            source: http.source_ip.and_then(|address| address.parse().ok()),
            method: http.method,
            target,
            headers,
            body,
        }
    }
}

impl HttpResponse {
    pub(super) fn into_json(self) -> Value {
        let is_cookie = |name: &str| name.eq_ignore_ascii_case("set-cookie");
        let cookies: Vec<&str> = self
            .headers
            .iter()
            .filter(|(name, _)| is_cookie(name))
            .map(|(_, value)| value.as_str())
            .collect();
        // A header that comes more than once is one with a comma.
        let mut headers: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in self.headers.iter().filter(|(name, _)| !is_cookie(name)) {
            headers
                .entry(name)
                .and_modify(|values| *values = format!("{values},{value}"))
                .or_insert_with(|| value.clone());
        }
        let (body, is_base64) = match String::from_utf8(self.body) {
            Ok(text) => (text, false),
            Err(bytes) => (STANDARD.encode(bytes.as_bytes()), true),
        };
        json!({
            "statusCode": self.status,
            "headers": headers,
            "cookies": cookies,
            "body": body,
            "isBase64Encoded": is_base64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let event: HttpEvent = serde_json::from_value(json!({
            "version": "2.0",
            "rawPath": "/webhooks/salla",
            "rawQueryString": "a=1&b=%20",
            "cookies": ["one=1", "two=2"],
            "headers": {"x-salla-signature": "ab", "host": "x.lambda-url.eu-central-1.on.aws"},
            "requestContext": {"http": {
                "method": "POST", "path": "/webhooks/salla", "sourceIp": "192.0.2.7",
            }},
            "body": STANDARD.encode([0, 255, 10]),
            "isBase64Encoded": true,
        }))
        .unwrap();
        let request = event.into_request();
        assert_eq!(request.source, "192.0.2.7".parse().ok());
        assert_eq!(
            (request.method.as_str(), request.body),
            ("POST", vec![0, 255, 10])
        );
        assert_eq!(request.target, "/webhooks/salla?a=1&b=%20");
        assert!(
            request
                .headers
                .contains(&("cookie".into(), "one=1; two=2".into()))
        );
    }

    #[test]
    fn a_response_leaves_as_it_was_made() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let response = HttpResponse {
            status: 200,
            headers: vec![
                header("set-cookie", "one=1; HttpOnly"),
                header("vary", "a"),
                header("vary", "b"),
                header("set-cookie", "two=2"),
            ],
            body: b"{}".to_vec(),
        };
        let json = response.into_json();
        assert_eq!(json["cookies"], json!(["one=1; HttpOnly", "two=2"]));
        assert_eq!(json["headers"], json!({ "vary": "a,b" }));
        assert_eq!(
            (&json["body"], &json["isBase64Encoded"]),
            (&json!("{}"), &json!(false))
        );
        let picture = HttpResponse {
            body: vec![255, 0],
            ..HttpResponse::default()
        };
        let json = picture.into_json();
        assert_eq!(
            (&json["body"], &json["isBase64Encoded"]),
            (&json!("/wA="), &json!(true))
        );
    }
}
