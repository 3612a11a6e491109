//! The program as a process: killed, or stopped and woken up.

use std::process::Child;

use importer::testing::clock::a_moment;

use crate::case::{CaseEnd, finish, requests_arrived};
use crate::checks;
use crate::plan::Plan;
use crate::service::Service;
use crate::support;

/// A process that does not outlive the case, stopped or not.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The program, importing what the plan says.
fn spawn(service: &Service) -> Running {
    let months = service.months().to_string();
    let arguments = ["import", "--months", &months];
    let mut command = support::program(&service.simulator, &service.place.url(), &arguments);
    if !service.keeps_raw() {
        command.arg("--no-raw");
    }
    Running(command.spawn().unwrap())
}

pub(crate) fn signal(child: &Running, signal: libc::c_int) {
    let pid = i32::try_from(child.0.id()).unwrap();
    // SAFETY: kill(2) has no memory effects; the process is our own child.
    unsafe { libc::kill(pid, signal) };
}

pub(crate) async fn ended(child: &mut Running) -> Option<i32> {
    loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            return status.code();
        }
        a_moment().await;
    }
}

/// Waits for this many requests; `true` when the program has ended before.
async fn has_ended_before(service: &Service, child: &mut Running, more: u64) -> bool {
    tokio::select! {
        biased;
        () = requests_arrived(service, more) => false,
        _ = ended(child) => true,
    }
}

pub(crate) async fn kills(service: &Service, moments: &[u64]) {
    for more in moments {
        let mut child = spawn(service);
        has_ended_before(service, &mut child, *more).await;
        // Dying while it is being killed is as good.
        drop(child.0.kill());
        ended(&mut child).await;
        service.expire_leases().await;
    }
}

/// Stops the program, at best in the middle of a transaction, lets another one end its
/// run, and wakes it up.
pub(crate) async fn freeze(plan: &Plan, service: &Service, after: u64) -> Result<CaseEnd, String> {
    let mut child = spawn(service);
    if has_ended_before(service, &mut child, after).await {
        return finish(plan, service).await;
    }
    tokio::select! {
        biased;
        () = in_a_transaction(service) => {}
        _ = ended(&mut child) => {}
    }
    signal(&child, libc::SIGSTOP);
    service.expire_leases().await;
    let end = finish(plan, service).await;
    let before = checks::fingerprint(service).await;
    signal(&child, libc::SIGCONT);
    let code = ended(&mut child).await;
    let after = checks::fingerprint(service).await;
    // A process that found the shop disconnected took nothing over.
    if end != Ok(CaseEnd::Parked) && before != after {
        return Err(format!(
            "the zombie ended with {code:?} and wrote: {before:?} became {after:?}"
        ));
    }
    end
}

pub(crate) async fn in_a_transaction(service: &Service) {
    let writing = || {
        sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = 'salla-sync'
                AND (state LIKE 'idle in transaction%' OR query LIKE 'COPY%' AND state = 'active'))",
        )
        .fetch_one(service.place.pool())
    };
    while !writing().await.unwrap() {}
}
