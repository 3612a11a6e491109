//! Whom e-mails about a shop reach.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::contact::{EmailAddress, Language};
use importer::ports::api_access::ApiScope;
use importer::ports::audit::{Action, AuditEvent};
use importer::ports::contacts::{ContactChange, ContactSettings};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::body::{Body, ClientAddress, Named};
use super::caller::Caller;
use crate::problem::Problem;

/// What is not named stays as it is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ContactRequest {
    /// The address to write to; null: none, whatever Salla names later.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// `ar` or `en`.
    language: Option<String>,
    /// Whether e-mails are sent at all.
    wants_email: Option<bool>,
}

/// Null is something else than nothing.
fn named<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl ContactRequest {
    fn change(self) -> Result<ContactChange, Problem> {
        let email = |text: String| {
            EmailAddress::parse(&text)
                .ok_or_else(|| Problem::invalid("email", "is no address such as name@example.com"))
        };
        let language = |text: String| {
            Language::parse(&text).ok_or_else(|| Problem::invalid("language", "is ar or en"))
        };
        let address = self.email.map(|email_or_none| email_or_none.map(email));
        Ok(ContactChange {
            address: address.map(Option::transpose).transpose()?,
            language: self.language.map(language).transpose()?,
            wants_email: self.wants_email,
        })
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContactView {
    /// Absent if no contact is known.
    email: Option<String>,
    language: &'static str,
    wants_email: bool,
    /// False: the address is the one that Salla names.
    is_set: bool,
}

impl From<ContactSettings> for ContactView {
    fn from(settings: ContactSettings) -> Self {
        let email = settings.address.as_ref();
        Self {
            email: email.map(|address| address.as_str().to_owned()),
            language: settings.language.as_str(),
            wants_email: settings.wants_email,
            is_set: settings.is_set,
        }
    }
}

/// Whom e-mails about a shop reach
#[utoipa::path(
    get, path = "/api/v1/merchants/{merchant}/contact", operation_id = "getContact",
    tag = "notifications",
    params(Named),
    responses((status = 200, body = ContactView)),
    security(("token" = []))
)]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
) -> Result<Json<ContactView>, Problem> {
    let merchant = api.merchant(&caller, ApiScope::Operate, &named).await?;
    let settings = api.contacts.contact_of(merchant.shop.merchant).await?;
    Ok(Json(settings.into()))
}

/// Changes whom e-mails about a shop reach
///
/// An address that is set here stays, whatever Salla names when the shop connects again.
#[utoipa::path(
    put, path = "/api/v1/merchants/{merchant}/contact", operation_id = "putContact",
    tag = "notifications",
    params(Named),
    request_body = ContactRequest,
    responses((status = 200, body = ContactView)),
    security(("token" = []))
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
    ClientAddress(address): ClientAddress,
    Body(request): Body<ContactRequest>,
) -> Result<Json<ContactView>, Problem> {
    let merchant = api.merchant(&caller, ApiScope::Operate, &named).await?;
    let change = request.change()?;
    let contacts = api.contacts.as_ref();
    let settings = contacts.change(merchant.shop.merchant, &change).await?;
    if !change.is_empty() {
        let event = AuditEvent::new(Action::ContactChanged, caller.actor())
            .shop(merchant.shop.salla_id)
            .from(address)
            .detail(change.named());
        api.claims.audit.record(&event).await?;
    }
    Ok(Json(settings.into()))
}
