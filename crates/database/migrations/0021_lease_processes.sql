-- Which process holds a run, so that another one on the same machine can see that it is gone and
-- need not wait for the lease. It counts only together with the fencing number under which it was
-- written: a version of the program that does not know these columns leaves them as they are when
-- it claims a run.
ALTER TABLE salla_sync.sync_runs
    ADD COLUMN lease_host text,
    ADD COLUMN lease_pid bigint,
    ADD COLUMN lease_process_started bigint,
    ADD COLUMN lease_process_fencing bigint;

COMMENT ON COLUMN salla_sync.sync_runs.lease_host IS 'The running system and the process namespace in which lease_pid means something; NULL where the process that works on the run does not know them.';
COMMENT ON COLUMN salla_sync.sync_runs.lease_pid IS 'The process that works on the run.';
COMMENT ON COLUMN salla_sync.sync_runs.lease_process_started IS 'When that process started, in clock ticks since the machine was booted: process ids are used again.';
COMMENT ON COLUMN salla_sync.sync_runs.lease_process_fencing IS 'The claim for which lease_host, lease_pid and lease_process_started were written.';
