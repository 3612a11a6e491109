//! A merchant's notifications.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::notification::{Bilingual, Counts, wording};
use importer::ports::api_access::ApiScope;
use importer::ports::notifications::{InboxEntry, InboxFilter};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::body::{Body, Named, Parameters};
use super::caller::Caller;
use super::paging::Paging;
use super::view::ErrorView;
use crate::problem::Problem;

/// Marked in one go.
const MAX_MARKED: usize = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only what the merchant has not read.
    unread: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationPage {
    items: Vec<NotificationView>,
    /// Where the next page begins; absent on the last one.
    next_cursor: Option<String>,
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

impl From<InboxEntry> for NotificationView {
    fn from(shown: InboxEntry) -> Self {
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
    params(Named, Filter, Paging),
    responses(
        (status = 200, body = NotificationPage),
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
) -> Result<Json<NotificationPage>, Problem> {
    let merchant = api.merchant(&caller, ApiScope::Read, &named).await?;
    let wanted = paging.wanted::<Uuid>()?;
    let inbox = InboxFilter {
        merchant: Some(merchant.shop.merchant),
        only_unread: filter.unread.unwrap_or(false),
        before: wanted.before,
        limit: wanted.limit(),
    };
    let shown = api.inbox.list(&inbox).await?;
    let (shown, next_cursor) = wanted.page(shown, |shown| shown.notice.id);
    Ok(Json(NotificationPage {
        items: shown.into_iter().map(NotificationView::from).collect(),
        next_cursor,
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
    params(Named),
    request_body = MarkRequest,
    responses((status = 204)),
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
