//! What is read from the database when somebody asks, rather than counted.

use std::time::Duration;

use database::Database;
use domain::failure::Failure;
use importer::metrics::Snapshot;
use importer::ports::queue::QueueName;

use crate::wiring::Queues;

/// One connection after the other: a scrape must not take those that imports need.
pub(super) async fn snapshot(
    database: &Database,
    queues: &Queues,
    keep_fresh: Option<Duration>,
) -> Result<Snapshot, Failure> {
    let states = database.run_states().await?;
    let freshness = database.freshness(keep_fresh).await?;
    let mut snapshot = Snapshot {
        runs: states.counts,
        idle: states.idle,
        shop_age: freshness.oldest,
        shops_due: freshness.due,
        queues: Vec::with_capacity(QueueName::ALL.len()),
    };
    for name in QueueName::ALL {
        let depth = queues.of(name).depth().await?;
        snapshot.queues.push((name, depth));
    }
    Ok(snapshot)
}
