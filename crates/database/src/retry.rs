//! Work that is begun again after a deadlock or a lost connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use importer::ports::clock::Clock;
use sqlx::PgConnection;
use sqlx::{Connection as _, Error};

use crate::failure::Trouble;

/// A server that restarts is back within the twelve seconds these add up to. The
/// caller's own retry, the next start of the run, follows after that.
const WAITS_MS: [u64; 7] = [50, 100, 250, 600, 1_500, 3_500, 6_000];

/// By then work that touches some hundred rows has ended, or nobody is at the other end of
/// its connection any more: a server that failed over, a proxy that forgot it. It includes
/// the wait for a connection. Real time, because the database knows no other.
const LIMIT: Duration = Duration::from_secs(30);

/// The same of work that reads all that a run has listed.
const LIMIT_OF_LONG_WORK: Duration = Duration::from_secs(600);

/// A server that lives answers to nothing at all at once.
const PING_LIMIT: Duration = Duration::from_secs(3);

/// For so long after work has met its limit, landings that were given up are looked for.
const DOUBT: Duration = Duration::from_secs(60);

/// Does `work` until it succeeds or fails for good. It must be safe to repeat even
/// when only the answer to its commit was lost.
pub(crate) async fn persistently<T, W, F>(
    clock: &Arc<dyn Clock>,
    doing: &'static str,
    work: W,
) -> Result<T, Failure>
where
    W: FnMut() -> F + Send,
    F: Future<Output = Result<T, Trouble>> + Send,
{
    persistently_within(LIMIT, clock, doing, work).await
}

/// The same for work that may take minutes.
pub(crate) async fn persistently_at_length<T, W, F>(
    clock: &Arc<dyn Clock>,
    doing: &'static str,
    work: W,
) -> Result<T, Failure>
where
    W: FnMut() -> F + Send,
    F: Future<Output = Result<T, Trouble>> + Send,
{
    persistently_within(LIMIT_OF_LONG_WORK, clock, doing, work).await
}

async fn persistently_within<T, W, F>(
    limit: Duration,
    clock: &Arc<dyn Clock>,
    doing: &'static str,
    mut work: W,
) -> Result<T, Failure>
where
    W: FnMut() -> F + Send,
    F: Future<Output = Result<T, Trouble>> + Send,
{
    for wait in WAITS_MS {
        match within(limit, work()).await {
            Err(trouble) if trouble.may_pass() => {
                let failure = trouble.while_doing(doing);
                tracing::warn!(%failure, wait_ms = wait, "the database work is begun again");
                clock.sleep(Duration::from_millis(wait)).await;
            }
            result => return result.map_err(|trouble| trouble.while_doing(doing)),
        }
    }
    within(limit, work())
        .await
        .map_err(|trouble| trouble.while_doing(doing))
}

/// For work on some hundred rows inside work that may take minutes.
pub(crate) async fn shortly<T>(
    work: impl Future<Output = Result<T, Trouble>> + Send,
) -> Result<T, Trouble> {
    within(LIMIT, work).await
}

/// Work that is given up takes its connection with it; see [`is_alive`].
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Trouble>> + Send,
) -> Result<T, Trouble> {
    let mut work = pin!(work);
    match tokio::time::timeout(limit, &mut work).await {
        Ok(result) => result,
        Err(_) => {
            // Before the work is dropped, which gives its connection back.
            doubt::begins();
            Err(timed_out().into())
        }
    }
}

fn timed_out() -> Error {
    Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// For a question that a server that lives answers at once. The driver waits for ever for a
/// connection that is frozen.
pub(crate) async fn promptly<T>(
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = tokio::time::timeout(PING_LIMIT, asking).await;
    answer.unwrap_or_else(|_| Err(timed_out()))
}

/// The driver itself tests each connection that is given back, and waits for ever for one that
/// is frozen: its place in the pool would be lost. So it is tested before.
pub(crate) async fn is_alive(connection: &mut PgConnection) -> Result<bool, Error> {
    promptly(connection.ping()).await?;
    Ok(true)
}

/// Whether work has met its limit a short time ago.
pub(crate) fn may_have_frozen() -> bool {
    doubt::lasts()
}

mod doubt {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::DOUBT;

    static SINCE: Mutex<Option<Instant>> = Mutex::new(None);

    pub(super) fn begins() {
        let mut since = SINCE
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *since = Some(Instant::now());
    }

    pub(super) fn lasts() -> bool {
        let since = SINCE
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        since.is_some_and(|since| since.elapsed() < DOUBT)
    }
}
