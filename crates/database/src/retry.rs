//! Work that is begun again after a deadlock or a lost connection.

use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use importer::ports::clock::Clock;

use crate::failure::Trouble;

/// A server that restarts is back within the twelve seconds these add up to. The
/// caller's own retry, the next start of the run, follows after that.
const WAITS_MS: [u64; 7] = [50, 100, 250, 600, 1_500, 3_500, 6_000];

/// Does `work` until it succeeds or fails for good. It must be safe to repeat even
/// when only the answer to its commit was lost.
pub(crate) async fn persistently<T, W, F>(
    clock: &Arc<dyn Clock>,
    doing: &'static str,
    mut work: W,
) -> Result<T, Failure>
where
    W: FnMut() -> F + Send,
    F: Future<Output = Result<T, Trouble>> + Send,
{
    for wait in WAITS_MS {
        match work().await {
            Err(trouble) if trouble.may_pass() => {
                let failure = trouble.while_doing(doing);
                tracing::warn!(%failure, wait_ms = wait, "the database work is begun again");
                clock.sleep(Duration::from_millis(wait)).await;
            }
            result => return result.map_err(|trouble| trouble.while_doing(doing)),
        }
    }
    work().await.map_err(|trouble| trouble.while_doing(doing))
}
