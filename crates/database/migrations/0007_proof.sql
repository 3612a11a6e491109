-- A stable walk alone does not prove every list: for customers both ends of the list
-- are read again, and a crash between that and the certificate must not forget it.

ALTER TABLE salla_sync.sync_windows
    ADD COLUMN ends_read_again boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN salla_sync.sync_windows.ends_read_again IS
    'The first and the last page were read once more after the walk, and landed as part of it.';

-- The certificate counts what its run has found gone.
ALTER TABLE salla_sync.source_records ADD COLUMN gone_run bigint;
COMMENT ON COLUMN salla_sync.source_records.gone_run IS 'sync_runs.number of the run that found the record gone.';
CREATE INDEX source_records_gone ON salla_sync.source_records (merchant_id, resource, gone_run)
    WHERE gone_at IS NOT NULL;

-- A part of a shop can be read again or in addition, as a run of its own.
ALTER TABLE salla_sync.sync_runs ADD COLUMN only_resource salla_sync.resource;
COMMENT ON COLUMN salla_sync.sync_runs.only_resource IS
    'The run reads just this resource (of orders just the days of its range); null: everything.';
