//! Imports concurrently: of one shop, of two, and over connections that stand still.

use std::sync::Arc;

use crate::case::{CaseEnd, complete_shop, finish, meanwhile, requests_arrived};
use crate::checks;
use crate::plan::{DriftEnd, Plan};
use crate::service::{DatabaseServer, Service};
use crate::trap::Trap;

/// The second shop, where there is one.
const SECOND: usize = 1;

pub(crate) async fn freeze_connections(service: &Service, after: u64) {
    let DatabaseServer::Behind(_, proxy) = &service.place else {
        unreachable!("there is a proxy before the database")
    };
    meanwhile(service, after, || proxy.freeze()).await;
}

/// Neither knows of the other but by the database.
pub(crate) async fn two_at_once(service: &Service, after: u64, takes_over: bool) {
    let mut first = Box::pin(service.import(Arc::new(Trap::at(None)), false));
    tokio::select! {
        biased;
        () = requests_arrived(service, after) => {}
        _ = &mut first => return,
    }
    if takes_over {
        service.expire_leases().await;
    }
    let second = service.import(Arc::new(Trap::at(None)), false);
    // However they end, what they have done is judged by the next import.
    drop(tokio::join!(first, second));
}

/// Ids recur across shops, so that a row under the wrong merchant shows.
pub(crate) async fn neighbour(plan: &Plan, service: &Service) -> Result<CaseEnd, String> {
    let (end, other) = tokio::join!(
        Box::pin(finish(plan, service)),
        Box::pin(complete_shop(plan, service, SECOND, false))
    );
    let (end, other) = (end?, other?);
    if end == CaseEnd::Equal {
        checks::compare(plan, service).await?;
    }
    if other == CaseEnd::Equal && plan.drift == DriftEnd::Still {
        let differences = checks::differences_of(plan, service, SECOND).await?;
        if !differences.is_empty() {
            return Err(format!("the second shop: {}", differences.join("\n")));
        }
    }
    Ok(end)
}
