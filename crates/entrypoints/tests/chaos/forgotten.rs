//! A database that loses what was committed last about a connection.

use std::sync::Arc;

use crate::case::requests_arrived;
use crate::service::Service;
use crate::trap::Trap;

const REMEMBER: &str = "CREATE TABLE public.before AS SELECT * FROM salla_sync.connections";

/// All that a refresh changes.
macro_rules! as_in {
    ($table:literal) => {
        concat!(
            "UPDATE salla_sync.connections c SET version = b.version, state = b.state,
                access_token = b.access_token, refresh_token = b.refresh_token,
                refresh_started_at = b.refresh_started_at, refresh_intent = b.refresh_intent,
                refresh_presentations = b.refresh_presentations,
                refresh_lost_at = b.refresh_lost_at
            FROM public.",
            $table,
            " b WHERE b.id = c.id"
        )
    };
}

const FORGET: [&str; 2] = [
    "CREATE TABLE public.newest AS SELECT * FROM salla_sync.connections",
    as_in!("before"),
];

/// What is lost for good is what no process holds any more: that comes back, as from the
/// server that has failed.
const COME_BACK: &str = concat!(as_in!("newest"), " AND c.version < b.version");

/// While an import works, its connection is set back to what it was.
pub(crate) async fn set_back(service: &Service, after: u64) {
    let mut has_forgotten = false;
    let setting_back = async {
        requests_arrived(service, after / 3 + 2).await;
        execute(service, REMEMBER).await;
        requests_arrived(service, after).await;
        for sql in FORGET {
            execute(service, sql).await;
        }
        has_forgotten = true;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = service.import(Arc::new(Trap::at(None)), false) => {}
        () = setting_back => {}
    }
    if has_forgotten {
        execute(service, COME_BACK).await;
    }
}

async fn execute(service: &Service, sql: &'static str) {
    let done = sqlx::query(sql).execute(service.place.pool()).await;
    done.unwrap();
}
