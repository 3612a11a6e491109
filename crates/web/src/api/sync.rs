//! Imports: started, followed, steered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::run::RunCommand;
use importer::import::Reading;
use importer::outlook;
use importer::ports::api_access::ApiScope;
use importer::ports::jobs::CommandOutcome;
use importer::ports::merchants::{MerchantConnection, MerchantRecord};
use importer::ports::overview::SyncStatus;
use importer::ports::runs::Run;

use super::Api;
use super::body::{Body, Named};
use super::caller::Caller;
use super::view::{RunView, StartRequest, StartResponse, StatusView};
use crate::problem::Problem;

impl Api {
    pub(super) async fn latest_run(
        &self,
        merchant: &MerchantRecord,
    ) -> Result<Option<SyncStatus>, Problem> {
        Ok(self.overview.status(merchant.shop.merchant).await?)
    }

    pub(super) fn view(&self, status: &SyncStatus) -> RunView {
        let coverage = outlook::coverage(&status.run, &status.read);
        let eta = outlook::eta(&status.run, self.clock.now());
        RunView::new(status, coverage, eta)
    }

    async fn steer(
        &self,
        caller: &Caller,
        named: &str,
        command: RunCommand,
    ) -> Result<Json<StatusView>, Problem> {
        let merchant = self.merchant(caller, ApiScope::Operate, named).await?;
        let latest = self.latest_run(&merchant).await?.ok_or_else(no_run)?;
        let run = match self.jobs.command(latest.run.id, command).await? {
            CommandOutcome::Applied(run) | CommandOutcome::Unchanged(run) => *run,
            CommandOutcome::Refused(run, _) => return Err(refused(&run, command)),
            CommandOutcome::Unknown => return Err(no_run()),
        };
        let view = self.view(&SyncStatus { run, ..latest });
        Ok(Json(StatusView::new(merchant, Some(view))))
    }
}

fn no_run() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_run",
        "no import of this shop was started yet",
        "start one with POST …/sync",
    )
}

/// The sentence of the run itself names commands of the command line.
fn refused(run: &Run, command: RunCommand) -> Problem {
    let verb = match command {
        RunCommand::Pause => "paused",
        RunCommand::Resume => "resumed",
        RunCommand::Cancel => "cancelled",
        RunCommand::Restart => "restarted",
    };
    let advice = match run.state {
        domain::run::RunState::Completed => "start another import with POST …/sync",
        domain::run::RunState::Paused => "resume it with POST …/sync/resume",
        domain::run::RunState::Failed | domain::run::RunState::Cancelled => {
            "restart it with POST …/sync/restart"
        }
        _ => "another run of this shop is open: control that one",
    };
    Problem::new(
        StatusCode::CONFLICT,
        "wrong_state",
        format!("the import is {} and cannot be {verb}", run.state),
        advice,
    )
}

/// Starts a shop's import, or brings it up to date
///
/// May be repeated: an import that is not over is joined. Where the history is there, only what
/// has changed since is read, and with more months the older orders; fewer months than there are
/// take nothing away. The certificate is a new one, as of now.
#[utoipa::path(
    post, path = "/api/v1/merchants/{merchant}/sync", operation_id = "startSync", tag = "sync",
    params(Named),
    request_body = StartRequest,
    responses(
        (status = 202, body = StartResponse, headers(("location" = String, description = "The status"))),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "The shop is not connected"),
    ),
    security(("token" = []))
)]
pub(super) async fn start(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
    Body(request): Body<StartRequest>,
) -> Result<Response, Problem> {
    let depth = request.depth()?;
    let merchant = api.merchant(&caller, ApiScope::Operate, &named).await?;
    if merchant.connection != MerchantConnection::Connected {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "not_connected",
            "the shop is not connected, so nothing can be read",
            "have the merchant connect the shop, then start again",
        ));
    }
    let (starter, shop) = (&api.starter, merchant.shop.merchant);
    let started = starter
        .start(shop, depth.months(), Reading::Changes)
        .await?;
    let status_url = format!("/api/v1/merchants/{}/sync", merchant.shop.merchant);
    let headers = [(header::LOCATION, status_url.clone())];
    let body = Json(StartResponse::new(&started, status_url));
    Ok((StatusCode::ACCEPTED, headers, body).into_response())
}

/// How far a shop's latest import is
#[utoipa::path(
    get, path = "/api/v1/merchants/{merchant}/sync", operation_id = "getSync", tag = "sync",
    params(Named),
    responses((status = 200, body = StatusView)),
    security(("token" = []))
)]
pub(super) async fn status(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
) -> Result<Json<StatusView>, Problem> {
    let merchant = api.merchant(&caller, ApiScope::Read, &named).await?;
    let latest = api.latest_run(&merchant).await?;
    let run = latest.map(|latest| api.view(&latest));
    Ok(Json(StatusView::new(merchant, run)))
}

macro_rules! steering {
    ($(#[$doc:meta])* $name:ident, $path:literal, $id:literal, $command:expr) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, operation_id = $id, tag = "sync",
            params(Named),
            responses(
                (status = 200, body = StatusView),
                (status = 409, body = Problem, content_type = "application/problem+json"),
            ),
            security(("token" = []))
        )]
        pub(super) async fn $name(
            State(api): State<Arc<Api>>,
            caller: Caller,
            Named(named): Named,
        ) -> Result<Json<StatusView>, Problem> {
            api.steer(&caller, &named, $command).await
        }
    };
}

steering!(
    /// Stops the import at its last commit until it is resumed
    pause, "/api/v1/merchants/{merchant}/sync/pause", "pauseSync", RunCommand::Pause
);
steering!(
    /// Resumes a paused import, or ends the wait of a waiting one
    resume, "/api/v1/merchants/{merchant}/sync/resume", "resumeSync", RunCommand::Resume
);
steering!(
    /// Gives the import up; what was read stays
    cancel, "/api/v1/merchants/{merchant}/sync/cancel", "cancelSync", RunCommand::Cancel
);
steering!(
    /// Begins a failed or cancelled import again from its checkpoint
    restart, "/api/v1/merchants/{merchant}/sync/restart", "restartSync", RunCommand::Restart
);

/// The latest certificate: what Salla listed and what became of every record of it
#[utoipa::path(
    get, path = "/api/v1/merchants/{merchant}/sync/certificate",
    operation_id = "getCertificate", tag = "sync",
    params(Named),
    responses((status = 200, body = serde_json::Value)),
    security(("token" = []))
)]
pub(super) async fn certificate(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
) -> Result<Response, Problem> {
    let merchant = api.merchant(&caller, ApiScope::Read, &named).await?;
    let latest = api.overview.certificate(merchant.shop.merchant).await?;
    let certificate = latest.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_certificate",
            "no import of this shop has a certificate yet",
            "follow the import until it is COMPLETED",
        )
    })?;
    Ok(Json(certificate).into_response())
}
