-- A run that is a job is worked on by whoever takes its message. It can wait, be paused
-- and be cancelled, and what a worker that died would have said must be read from its
-- row.

ALTER TABLE salla_sync.sync_runs
    DROP CONSTRAINT sync_runs_state_check,
    ADD CONSTRAINT sync_runs_state_check CHECK (state IN
        ('PENDING', 'IN_PROGRESS', 'WAITING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED')),
    ADD COLUMN is_job boolean NOT NULL DEFAULT false,
    ADD COLUMN waiting_until timestamptz,
    ADD COLUMN work_at_claim bigint NOT NULL DEFAULT 0,
    ADD COLUMN progressed_at timestamptz,
    ADD COLUMN sent_at timestamptz,
    ADD COLUMN sent_again integer NOT NULL DEFAULT 0,
    ADD COLUMN stall_reported_at timestamptz,
    ADD COLUMN endings integer NOT NULL DEFAULT 0,
    ADD COLUMN ended_at timestamptz;
COMMENT ON COLUMN salla_sync.sync_runs.state IS
    'PENDING: nobody works on it. IN_PROGRESS: somebody holds the lease. WAITING: goes on by itself at waiting_until. PAUSED: goes on when somebody resumes it. COMPLETED: proven by its certificate. FAILED: somebody must act; starting the same import again goes on. CANCELLED: given up; what was read stays.';
COMMENT ON COLUMN salla_sync.sync_runs.is_job IS
    'Workers take it from the queue, and its end is notified. A run of the import command alone is not.';
COMMENT ON COLUMN salla_sync.sync_runs.waiting_until IS
    'When a WAITING run goes on; for an IN_PROGRESS run, how long Salla has told its worker to wait.';
COMMENT ON COLUMN salla_sync.sync_runs.work_at_claim IS
    'Pages and details when the run was claimed last; attempts that went further do not count.';
COMMENT ON COLUMN salla_sync.sync_runs.progressed_at IS
    'When rows landed last, or the run was claimed; by the database''s clock.';
COMMENT ON COLUMN salla_sync.sync_runs.sent_at IS 'When a message for it was sent last; by the database''s clock.';
COMMENT ON COLUMN salla_sync.sync_runs.sent_again IS
    'So often was it sent again without any progress since, because its worker or its message was lost.';
COMMENT ON COLUMN salla_sync.sync_runs.stall_reported_at IS
    'When the operator was told that it makes no progress; null again once it does.';
COMMENT ON COLUMN salla_sync.sync_runs.endings IS
    'So often has it ended COMPLETED or FAILED; each ending is notified once.';
COMMENT ON COLUMN salla_sync.sync_runs.ended_at IS 'When it last ended COMPLETED or FAILED.';
COMMENT ON COLUMN salla_sync.sync_runs.failure_code IS 'Stable name of why the run ended FAILED, or is WAITING.';

ALTER TABLE salla_sync.merchant_sync_status
    DROP CONSTRAINT merchant_sync_status_status_check,
    ADD CONSTRAINT merchant_sync_status_status_check CHECK (status IN
        ('PENDING', 'IN_PROGRESS', 'WAITING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED'));

-- Who cancels a run may start another one.
DROP INDEX salla_sync.sync_runs_one_not_over;
CREATE UNIQUE INDEX sync_runs_one_not_over ON salla_sync.sync_runs (merchant_id)
    WHERE state NOT IN ('COMPLETED', 'CANCELLED') AND superseded_at IS NULL;

-- The sweep looks at the few runs that are not over, however many are.
CREATE INDEX sync_runs_open_jobs ON salla_sync.sync_runs (state)
    WHERE is_job AND state IN ('PENDING', 'IN_PROGRESS', 'WAITING') AND superseded_at IS NULL;
