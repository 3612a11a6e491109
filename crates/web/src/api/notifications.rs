//! A merchant's notifications.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::notification::{Bilingual, Counts, wording};
use importer::ports::api_tokens::ApiScope;
use importer::ports::notifications::{InboxFilter, Shown};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::body::{Body, Named, Parameters};
use super::caller::Caller;
use super::view::ErrorView;
use super::{Api, limit};
use crate::problem::Problem;

/// Marked in one go.
const MAX_MARKED: usize = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only what the merchant has not read.
    unread: Option<bool>,
    /// From 1 to 200; 50 if it is not given.
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationPage {
    items: Vec<NotificationView>,
    /// Where the next page begins; absent on the last one.
    next_cursor: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NotificationView {
    id: Uuid,
    /// SYNC_COMPLETE, SYNC_FAILED or RECONNECT_NEEDED.
    kind: &'static str,
    run_id: Uuid,
    ended_at: Timestamp,
    read_at: Option<Timestamp>,
    title: TextView,
    body: TextView,
    error: Option<ErrorView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TextView {
    ar: String,
    en: String,
}

impl From<Bilingual> for TextView {
    fn from(text: Bilingual) -> Self {
        Self {
            ar: text.ar,
            en: text.en,
        }
    }
}

impl From<Shown> for NotificationView {
    fn from(shown: Shown) -> Self {
        let notice = shown.notice;
        let counts = Counts {
            orders: notice.progress.orders,
            customers: notice.progress.customers,
            products: notice.progress.products,
        };
        let words = wording(notice.kind, &notice.shop.name, counts);
        Self {
            id: notice.id,
            kind: notice.kind.as_str(),
            run_id: notice.run.0,
            ended_at: notice.ended_at,
            read_at: shown.read_at,
            title: words.title.into(),
            body: words.body.into(),
            error: notice.failure.as_ref().map(ErrorView::from),
        }
    }
}

/// A merchant's notifications, the latest first
#[utoipa::path(
    get, path = "/api/v1/merchants/{merchant}/notifications",
    operation_id = "listNotifications", tag = "notifications",
    params(("merchant" = String, Path, description = "Our id of the merchant or Salla's number"),
           Filter),
    responses(
        (status = 200, body = NotificationPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<NotificationPage>, Problem> {
    let merchant = api.merchant(&caller, ApiScope::Read, &named).await?;
    let limit = limit(filter.limit)?;
    let inbox = InboxFilter {
        merchant: Some(merchant.shop.merchant),
        only_unread: filter.unread.unwrap_or(false),
        before: filter.cursor,
        // One more shows whether there is a next page.
        limit: limit + 1,
    };
    let mut shown = api.inbox.list(&inbox).await?;
    let is_last = shown.len() <= limit as usize;
    shown.truncate(limit as usize);
    let next_cursor = shown.last().map(|shown| shown.notice.id);
    Ok(Json(NotificationPage {
        items: shown.into_iter().map(NotificationView::from).collect(),
        next_cursor: next_cursor.filter(|_| !is_last),
    }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkRequest {
    /// At most 200.
    ids: Vec<Uuid>,
}

/// Marks notifications as read
///
/// May be repeated: what was read before keeps its time. Where one does not exist, none is marked.
#[utoipa::path(
    post, path = "/api/v1/merchants/{merchant}/notifications/read",
    operation_id = "readNotifications", tag = "notifications",
    params(("merchant" = String, Path, description = "Our id of the merchant or Salla's number")),
    request_body = MarkRequest,
    responses(
        (status = 204),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn mark_read(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
    Body(request): Body<MarkRequest>,
) -> Result<StatusCode, Problem> {
    let merchant = api.merchant(&caller, ApiScope::Operate, &named).await?;
    if request.ids.len() > MAX_MARKED {
        return Err(Problem::invalid(
            "ids",
            format!("holds at most {MAX_MARKED} ids"),
        ));
    }
    let own = Some(merchant.shop.merchant);
    let unknown = api.inbox.mark_read(&request.ids, own).await?;
    if !unknown.is_empty() {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_notification",
            format!(
                "{} of these notifications do not exist for this merchant, so none was marked",
                unknown.len()
            ),
            "list them with GET …/notifications",
        ));
    }
    Ok(StatusCode::NO_CONTENT)
}
