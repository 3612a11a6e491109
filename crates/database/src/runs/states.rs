//! All runs at a glance, for who watches the whole.

use std::time::Duration;

use domain::failure::Failure;
use domain::run::RunState;

use crate::connect::Database;
use crate::failure::database_failure;

/// How the runs are doing, superseded ones aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunStates {
    /// States in which there is no run may be missing.
    pub counts: Vec<(RunState, u64)>,
    /// For how long nothing has landed, of the run in progress that has been idle
    /// longest and was not told to wait.
    pub idle: Duration,
}

/// By the database's clock, but for the times until which Salla has told a run to wait.
const STATES: &str = "
    SELECT state, count(*),
        extract(epoch FROM now() - min(progressed_at) FILTER (
            WHERE state = 'IN_PROGRESS' AND coalesce(waiting_until, '-infinity') < now()
        ))::float8
    FROM salla_sync.sync_runs WHERE superseded_at IS NULL GROUP BY state";

impl Database {
    /// Whether the queue can be read; what lies in it is not counted.
    pub async fn queue_responds(&self) -> Result<(), Failure> {
        let sql = "SELECT EXISTS (SELECT FROM salla_sync.queue_messages)";
        let read: Result<bool, sqlx::Error> = sqlx::query_scalar(sql).fetch_one(self.pool()).await;
        read.map(drop)
            .map_err(|error| database_failure("looking at the queue", &error))
    }

    /// Counts all runs; not tried again, because whoever asks will ask again.
    pub async fn run_states(&self) -> Result<RunStates, Failure> {
        let rows: Vec<(String, i64, Option<f64>)> = sqlx::query_as(STATES)
            .fetch_all(self.pool())
            .await
            .map_err(|error| database_failure("counting runs", &error))?;
        let mut states = RunStates::default();
        for (state, count, idle) in rows {
            let idle = Duration::try_from_secs_f64(idle.unwrap_or(0.0)).unwrap_or_default();
            states.idle = states.idle.max(idle);
            // A newer version may know a state that this one does not.
            if let Some(state) = RunState::parse(&state) {
                states.counts.push((state, count.cast_unsigned()));
            }
        }
        Ok(states)
    }
}
