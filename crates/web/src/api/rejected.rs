//! Records that could not be read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::ports::api_access::ApiScope;
use importer::ports::overview::{RejectedEntry, RejectionQuery};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::{Named, Parameters};
use super::caller::Caller;
use super::paging::Paging;
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// orders, customers, products, categories or order_statuses.
    resource: Option<String>,
    /// The reason, such as invalid_date.
    code: Option<String>,
    /// Also the raw text, which holds personal data and takes the scope `records`.
    raw: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RejectedPage {
    items: Vec<RejectedView>,
    /// Where the next page begins; absent on the last one.
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RejectedView {
    resource: &'static str,
    /// Which response it came in, such as order_detail.
    kind: String,
    salla_id: Option<i64>,
    code: &'static str,
    json_path: String,
    message: String,
    first_seen_at: Timestamp,
    last_seen_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

impl RejectedView {
    fn new(entry: RejectedEntry, raw: bool) -> Self {
        Self {
            resource: entry.resource.as_str(),
            kind: entry.kind,
            salla_id: entry.salla_id,
            code: entry.code.as_str(),
            json_path: entry.json_path,
            message: entry.message,
            first_seen_at: entry.first_seen_at,
            last_seen_at: entry.last_seen_at,
            raw: raw.then_some(entry.raw),
        }
    }
}

/// Records of a shop that could not be read, the latest first
#[utoipa::path(
    get, path = "/api/v1/merchants/{merchant}/rejected-records",
    operation_id = "listRejectedRecords", tag = "records",
    params(Named, Filter, Paging),
    responses(
        (status = 200, body = RejectedPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
    Parameters(filter): Parameters<Filter>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<RejectedPage>, Problem> {
    let merchant = api.merchant(&caller, ApiScope::Read, &named).await?;
    let raw = filter.raw.unwrap_or(false);
    if raw {
        caller.require(ApiScope::Records)?;
    }
    let wanted = paging.wanted::<i64>()?;
    let query = RejectionQuery {
        merchant: merchant.shop.merchant,
        resource: filter.resource.as_deref().map(resource).transpose()?,
        code: filter.code.as_deref().map(code).transpose()?,
        before: wanted.before,
        limit: wanted.limit(),
    };
    let entries = api.overview.rejections(&query).await?;
    let (entries, next_cursor) = wanted.page(entries, |entry| entry.number);
    let items = entries
        .into_iter()
        .map(|entry| RejectedView::new(entry, raw));
    Ok(Json(RejectedPage {
        items: items.collect(),
        next_cursor,
    }))
}

fn resource(name: &str) -> Result<Resource, Problem> {
    Resource::parse(name).ok_or_else(|| {
        let names = Resource::ALL.map(Resource::as_str).join(", ");
        Problem::invalid("resource", format!("is one of {names}"))
    })
}

fn code(name: &str) -> Result<RejectionCode, Problem> {
    RejectionCode::parse(name).ok_or_else(|| {
        let codes = RejectionCode::ALL.map(RejectionCode::as_str).join(", ");
        Problem::invalid("code", format!("is one of {codes}"))
    })
}
