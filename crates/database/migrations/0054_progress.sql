-- Whether an attempt got further was told by what had landed. But a run that catches up reads the
-- heads of its lists once more with every attempt, so one that always failed elsewhere was never
-- given up.

ALTER TABLE salla_sync.sync_runs ADD COLUMN progress_fencing bigint;
COMMENT ON COLUMN salla_sync.sync_runs.progress_fencing IS
    'The claim under which the run got further last: records and details that it had not read before, or pages of a scan that the next attempt continues. Attempts that got further do not count.';
COMMENT ON COLUMN salla_sync.sync_runs.work_at_claim IS
    'Pages and details when the run was claimed last.';
COMMENT ON COLUMN salla_sync.sync_runs.sent_again IS
    'So often was it sent again since it got further last, because its worker or its message was lost.';
COMMENT ON COLUMN salla_sync.sync_runs.stall_reported_at IS
    'When the operator was told that it makes no progress; null again once it gets further or is claimed.';
