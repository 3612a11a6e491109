//! Responses to requests that cannot be served (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::failure::Failure;
use serde::Serialize;
use utoipa::ToSchema;

/// A problem: a stable code, a sentence about what went wrong, and what can be done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// Stable, for programs.
    code: &'static str,
    detail: String,
    /// What the reader can do.
    advice: String,
    /// In seconds.
    #[serde(skip)]
    retry_after: Option<u32>,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:salla-sync:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            advice: advice.into(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(5),
        }
    }

    pub fn too_many(retry_after: Duration) -> Self {
        let seconds =
            u32::try_from(retry_after.as_secs()).map_or(u32::MAX, |whole| whole.saturating_add(1));
        Self {
            retry_after: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "this was tried too often from here",
                format!("try again in {seconds} seconds"),
            )
        }
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing at this address",
            "see /openapi.json for the addresses that exist",
        )
    }

    /// A value that was given and is not one of those that can be.
    pub fn invalid(field: &str, rule: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_value",
            format!("{field} {rule}"),
            "change it and send the request again",
        )
    }

    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this address does not accept this method",
            "see /openapi.json for the methods it accepts",
        )
    }

    pub fn too_late() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "the request could not be served in time",
            "nothing is lost; send it again",
        )
    }
}

/// What is inside stays inside: a failure may name hosts and versions, so only its kind and its
/// advice for operators go out.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        tracing::error!(%failure, code = failure.code(), "a request failed");
        Self::new(
            match failure.resumes_by_itself() {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::INTERNAL_SERVER_ERROR,
            },
            failure.code(),
            "the request could not be served because of a failure inside the service",
            "send it again later; the operator's log has details under the same request id",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
