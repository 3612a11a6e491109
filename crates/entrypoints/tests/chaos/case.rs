//! One case from its start to its result.

use std::sync::Arc;
use std::time::Duration;

use database::testing::{FreezingProxy, TestDatabase};
use domain::failure::{Disconnection, Failure};
use importer::import::ImportOutcome;
use importer::ports::clock::{Clock as _, SystemClock};

use crate::checks;
use crate::disruption::Disruption;
use crate::forgotten;
use crate::plan::{DriftEnd, Plan};
use crate::program;
use crate::server::OwnServer;
use crate::service::{DatabaseServer, Service};
use crate::trap::Trap;
use crate::twins;

/// A case in which nothing arrives at Salla for this long is stuck: simulated waits pass many
/// times faster. How long a whole case takes says nothing, because that depends on what else
/// the machine does.
const PATIENCE: Duration = Duration::from_secs(180);

/// The same where connections to the database freeze: work that may read all that a run has
/// listed is given ten minutes.
const PATIENCE_WITH_FROZEN_WORK: Duration = Duration::from_secs(600 + 180);

/// A case that sends more goes round in circles: a restless shop of a few thousand orders whose
/// busiest day is scanned again and again takes a fraction of it.
const MAX_REQUESTS: u64 = 30_000;

/// So often an import is begun again before it is said that it never ends.
const STARTS: u32 = 20;

/// So often a merchant installs the app again whose tokens were lost.
const RECONNECTIONS: u32 = 4;

/// The shop that a case is about.
pub(crate) const FIRST: usize = 0;

/// What becomes of a connection where the accounts host answers anything.
macro_rules! PARKED {
    () => {
        Disconnection::RefreshLost | Disconnection::RefreshRefused | Disconnection::TokenRejected
    };
}

/// What came of a case that went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaseEnd {
    /// Everything equals the truth.
    Equal,
    /// The shop changes too fast, or its counts are too wrong, for the permitted number of scans.
    Restless,
    /// A crash fell into a refresh of the tokens, and the shop is rightly disconnected.
    Parked,
}

/// Runs a case; an `Err` says what does not hold.
pub(crate) async fn run(plan: &Plan) -> Result<CaseEnd, String> {
    let place = match &plan.disruption {
        Disruption::Restart { .. } => DatabaseServer::Own(Box::new(OwnServer::start(60).await)),
        Disruption::Starvation { .. } => DatabaseServer::Own(Box::new(OwnServer::start(12).await)),
        Disruption::FrozenConnections(_) => {
            let database = TestDatabase::create().await;
            let proxy = FreezingProxy::before(&database.url()).await;
            DatabaseServer::Behind(database, proxy)
        }
        _ => DatabaseServer::Shared(TestDatabase::create().await),
    };
    let service = Service::start(plan, place).await;
    let result = tokio::select! {
        biased;
        ended = Box::pin(disrupt(plan, &service)) => ended,
        endless = endless(plan, &service) => Err(endless),
    };
    result.map_err(|what| {
        let drift = service.simulator.first_shop().drift_events();
        let ledger = service.simulator.ledger();
        format!("{what}\ndrift: {drift:?}\nledger: {ledger:?}")
    })
}

/// Returns once it is clear that the case does not end, with the reason.
async fn endless(plan: &Plan, service: &Service) -> String {
    let patience = match plan.disruption {
        Disruption::FrozenConnections(_) => PATIENCE_WITH_FROZEN_WORK,
        _ => PATIENCE,
    };
    loop {
        let before = service.simulator.api_requests();
        SystemClock::real().sleep(patience).await;
        let requests = service.simulator.api_requests();
        if requests == before {
            return format!("it is stuck after {requests} requests");
        }
        if requests > MAX_REQUESTS {
            return format!("it goes round in circles: {requests} requests");
        }
    }
}

async fn disrupt(plan: &Plan, service: &Service) -> Result<CaseEnd, String> {
    match &plan.disruption {
        Disruption::None => {}
        Disruption::Crashes(points) => {
            for point in points {
                crash(service, Arc::new(Trap::at(Some(point.clone())))).await;
            }
        }
        Disruption::Zombie(point) => {
            return zombie(plan, service, Trap::at(Some(point.clone()))).await;
        }
        Disruption::Kills(moments) => program::kills(service, moments).await,
        Disruption::Freeze(after) => return program::freeze(plan, service, *after).await,
        Disruption::Cuts(moments) => cuts(service, moments).await,
        Disruption::Restart { after, immediately } => restart(service, *after, *immediately).await,
        Disruption::FrozenConnections(after) => twins::freeze_connections(service, *after).await,
        Disruption::TwoAtOnce { after, takes_over } => {
            twins::two_at_once(service, *after, *takes_over).await;
        }
        Disruption::Neighbour => return twins::neighbour(plan, service).await,
        Disruption::ConnectionSetBack(after) => forgotten::set_back(service, *after).await,
        Disruption::ClockSteps { after, seconds } => {
            meanwhile(service, *after, || service.step_clock(*seconds)).await;
        }
        Disruption::Starvation { connections } => {
            let DatabaseServer::Own(server) = &service.place else {
                unreachable!("starvation has a separate server")
            };
            let held = server.starve(*connections).await;
            let starved = service.import(Arc::new(Trap::at(None)), false).await;
            drop(held);
            if let Ok(ImportOutcome::Failed { failure, .. }) = &starved
                && !matches!(failure, Failure::Unbalanced { .. })
            {
                return Err(format!("starved, it failed for good: {starved:?}"));
            }
        }
    }
    finish(plan, service).await
}

/// Starts the import until it has ended, and compares.
pub(crate) async fn finish(plan: &Plan, service: &Service) -> Result<CaseEnd, String> {
    let mut end = complete(plan, service, false).await?;
    if plan.lies_beyond_settling() {
        match end {
            CaseEnd::Parked => {}
            CaseEnd::Restless => {
                service.simulator.set(Plan::come_to_rest);
                end = complete(plan, service, false).await?;
            }
            CaseEnd::Equal => return Err("COMPLETED, although Salla reports far more".to_owned()),
        }
    }
    if plan.drift == DriftEnd::Never && end != CaseEnd::Parked {
        service.simulator.set(Plan::come_to_rest);
        if end == CaseEnd::Restless {
            end = complete(plan, service, false).await?;
            if end == CaseEnd::Equal && !plan.drifts_silently() {
                checks::compare_orders(plan, service).await?;
            }
        }
        // Changes that could not be noticed while the shop drifted are imported when all is read
        // again.
        if end == CaseEnd::Equal {
            end = complete(plan, service, true).await?;
        }
    }
    if end == CaseEnd::Equal {
        checks::compare(plan, service).await?;
    }
    checks::ledger(plan, service)?;
    Ok(end)
}

/// Starts the import again and again until it completes or has good reason not to.
async fn complete(plan: &Plan, service: &Service, again: bool) -> Result<CaseEnd, String> {
    Box::pin(complete_shop(plan, service, FIRST, again)).await
}

pub(crate) async fn complete_shop(
    plan: &Plan,
    service: &Service,
    shop: usize,
    again: bool,
) -> Result<CaseEnd, String> {
    let mut seen = Vec::new();
    let mut again = again;
    let mut reconnected = 0;
    for _ in 0..STARTS {
        service.expire_leases().await;
        let outcome = service
            .import_shop(shop, Arc::new(Trap::at(None)), again)
            .await;
        seen.push(match outcome {
            Ok(ImportOutcome::Completed(_)) => return Ok(CaseEnd::Equal),
            // Rightly disconnected; the merchant installs the app again.
            Ok(ImportOutcome::Failed {
                failure: failure @ Failure::Disconnected(PARKED!()),
                ..
            })
            | Err(failure @ Failure::Disconnected(PARKED!()))
                if plan.may_lose_a_refresh() =>
            {
                if reconnected == RECONNECTIONS {
                    return Ok(CaseEnd::Parked);
                }
                reconnected += 1;
                service.install_again(shop);
                failure
            }
            // The clock is set.
            Ok(ImportOutcome::Interrupted(failure @ Failure::ClocksApart { .. }))
            | Err(failure @ Failure::ClocksApart { .. }) => {
                service
                    .simulator
                    .set(|scenario| scenario.date_ahead_seconds = 0);
                failure
            }
            Ok(ImportOutcome::Failed {
                failure: failure @ Failure::Unbalanced { .. },
                ..
            }) if plan.may_be_unbalanced() => {
                if service.is_restless() || service.lies_beyond_settling() {
                    return Ok(CaseEnd::Restless);
                }
                failure
            }
            // The same command resumes once the maintenance page is gone.
            Ok(ImportOutcome::Failed {
                failure: failure @ Failure::NotJson { .. },
                ..
            })
            | Err(failure @ Failure::NotJson { .. })
                if plan.may_answer_in_html() =>
            {
                failure
            }
            Ok(ImportOutcome::Interrupted(failure)) | Err(failure)
                if failure.resumes_by_itself() =>
            {
                failure
            }
            other => return Err(format!("{other:?} after {seen:?}")),
        });
        // What was restarted is resumed.
        again &= false;
    }
    Err(format!("it never ends: {seen:?}"))
}

/// Drops an import at the point, or lets it end if it never comes there.
async fn crash(service: &Service, trap: Arc<Trap>) {
    tokio::select! {
        biased;
        () = trap.sprung() => {}
        _ = service.import(trap.clone(), false) => {}
    }
    service.expire_leases().await;
}

/// An import that stood still while another took its run over and ended must not
/// write anything any more.
async fn zombie(plan: &Plan, service: &Service, trap: Trap) -> Result<CaseEnd, String> {
    // A process that does not hold the run yet starts another one once it has ended.
    let held_the_run = !trap.is_before_the_claim();
    let trap = Arc::new(trap);
    let mut zombie = Box::pin(service.import(trap.clone(), false));
    tokio::select! {
        biased;
        () = trap.sprung() => {}
        _ = &mut zombie => return finish(plan, service).await,
    }
    service.expire_leases().await;
    let end = finish(plan, service).await?;
    let before = checks::fingerprint(service).await;
    trap.release();
    let outcome = zombie.await;
    let after = checks::fingerprint(service).await;
    if !held_the_run && end == CaseEnd::Equal {
        checks::compare(plan, service).await?;
        return Ok(end);
    }
    // A process that found the shop disconnected took nothing over.
    if end != CaseEnd::Parked && before != after {
        return Err(format!(
            "the zombie ended with {outcome:?} and wrote: {before:?} became {after:?}"
        ));
    }
    Ok(end)
}

/// Returns when this many more requests have arrived, or the import has ended.
pub(crate) async fn requests_arrived(service: &Service, more: u64) {
    let until = service.simulator.api_requests() + more;
    let simulator = &service.simulator;
    simulator.until(|| simulator.api_requests() >= until).await;
}

/// Does something once that number of requests of an import has arrived, and lets it end.
pub(crate) async fn meanwhile(service: &Service, after: u64, what: impl FnOnce()) {
    let doing = async {
        requests_arrived(service, after).await;
        what();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = service.import(Arc::new(Trap::at(None)), false) => {}
        () = doing => {}
    }
}

async fn cuts(service: &Service, moments: &[u64]) {
    let cutting = async {
        for more in moments {
            requests_arrived(service, *more).await;
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name = 'salla-sync'",
            )
            .execute(service.place.pool())
            .await
            .unwrap();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = service.import(Arc::new(Trap::at(None)), false) => {}
        () = cutting => {}
    }
}

async fn restart(service: &Service, after: u64, immediately: bool) {
    let DatabaseServer::Own(server) = &service.place else {
        unreachable!("a restart has a separate server")
    };
    let restarting = async {
        requests_arrived(service, after).await;
        server.restart(immediately).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = service.import(Arc::new(Trap::at(None)), false) => {}
        () = restarting => {}
    }
}
