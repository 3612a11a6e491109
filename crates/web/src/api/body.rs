//! What a request carries, or what is wrong with it, named by its field.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::client::Client;
use crate::problem::Problem;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refused(&rejection)),
        }
    }
}

/// Values are not repeated: they may be anything.
fn refused(rejection: &JsonRejection) -> Problem {
    let advice = "see /openapi.json for what this request accepts";
    match rejection {
        JsonRejection::JsonDataError(_) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_body",
            "the body is JSON, but does not match this request: a field is missing, unknown or of \
             another type",
            advice,
        ),
        JsonRejection::JsonSyntaxError(_) => Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            "the body is not JSON",
            advice,
        ),
        JsonRejection::MissingJsonContentType(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "the request does not say that its body is JSON",
            "send `Content-Type: application/json`",
        ),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the body is too large",
            advice,
        ),
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            "the body did not arrive completely",
            "send the request again",
        ),
    }
}

/// The merchant as a path names it.
#[derive(IntoParams)]
#[into_params(names("merchant"), parameter_in = Path)]
pub(super) struct Named(
    /// Our id of the merchant, or Salla's id of the shop
    pub(super) String,
);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            // Bytes that are not text name no account.
            Err(_) => Err(Problem::not_found()),
        }
    }
}

/// Where the request comes from, for the audit log.
pub(super) struct ClientAddress(pub(super) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Client::of(&parts.extensions)))
    }
}

/// The parameters behind the question mark.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        match read {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(_) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_parameters",
                "the parameters of the address cannot be read",
                "see /openapi.json for what this request accepts",
            )),
        }
    }
}
