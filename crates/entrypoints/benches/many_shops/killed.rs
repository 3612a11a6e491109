//! What becomes of the runs of a worker that is gone from one moment to the next.

use std::time::{Duration, Instant};

use entrypoints::display::line;

use crate::database::MeasuredDatabase;
use crate::report::spread;
use crate::workers::Workers;

/// A lease, the time between two sweeps, and the time between two of our looks.
const PROMISED: Duration = Duration::from_secs(60 + 30 + 1);

struct LostRun {
    id: String,
    fencing: i64,
    claimed_after: Option<Duration>,
    moved_after: Option<Duration>,
}

pub(crate) struct Killed {
    at: Instant,
    runs: Vec<LostRun>,
}

impl Killed {
    pub(crate) async fn kill_one(
        workers: &mut Workers,
        database: &MeasuredDatabase,
    ) -> anyhow::Result<Self> {
        // Stopped first: what it has is still the same when it is killed.
        let worker = workers.stop_first()?;
        let runs: Vec<(String, i64)> = sqlx::query_as(
            "SELECT id::text, fencing FROM salla_sync.sync_runs
             WHERE state = 'IN_PROGRESS' AND lease_pid = $1 AND lease_process_fencing = fencing",
        )
        .bind(i64::from(worker))
        .fetch_all(&database.pool)
        .await?;
        workers.kill_first()?;
        let lost = |(id, fencing)| LostRun {
            id,
            fencing,
            claimed_after: None,
            moved_after: None,
        };
        Ok(Self {
            at: Instant::now(),
            runs: runs.into_iter().map(lost).collect(),
        })
    }

    /// Notes which runs another worker has claimed, and which of them have got further.
    pub(crate) async fn look(&mut self, database: &MeasuredDatabase) -> anyhow::Result<()> {
        let ids: Vec<&str> = self.runs.iter().map(|run| run.id.as_str()).collect();
        let found: Vec<(String, i64, bool)> = sqlx::query_as(
            "SELECT id::text, fencing, pages + order_details > work_at_claim OR state = 'COMPLETED'
             FROM salla_sync.sync_runs WHERE id::text = ANY($1)",
        )
        .bind(&ids)
        .fetch_all(&database.pool)
        .await?;
        let now = self.at.elapsed();
        for (id, fencing, has_moved) in found {
            let Some(run) = self.runs.iter_mut().find(|run| run.id == id) else {
                continue;
            };
            if fencing > run.fencing {
                run.claimed_after.get_or_insert(now);
                if has_moved {
                    run.moved_after.get_or_insert(now);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.runs.iter().all(|run| run.moved_after.is_some())
    }

    pub(crate) fn report(&self) {
        let of = |when: fn(&LostRun) -> Option<Duration>| -> Vec<f64> {
            let times = self.runs.iter().filter_map(when);
            times.map(|time| time.as_secs_f64()).collect()
        };
        let claimed = of(|run| run.claimed_after);
        let in_time = self
            .runs
            .iter()
            .filter(|run| run.claimed_after.is_some_and(|time| time <= PROMISED))
            .count();
        line(format_args!(
            "the killed worker had {} runs: {in_time} were another's within {} s; claimed after \
             s: {}; moved after s: {}",
            self.runs.len(),
            PROMISED.as_secs(),
            spread(&claimed),
            spread(&of(|run| run.moved_after)),
        ));
    }
}
