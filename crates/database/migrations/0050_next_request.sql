-- A process that resumes a run begins without knowing how much of the shop's budget is left. The one
-- that releases it knows, so its successor need not wait in case there is nothing.

ALTER TABLE salla_sync.sync_runs
    ADD COLUMN next_request_at timestamptz,
    ADD COLUMN next_request_fencing bigint;
COMMENT ON COLUMN salla_sync.sync_runs.next_request_at IS
    'From when on the next process that claims the run may send the shop a request; by the database''s clock.';
COMMENT ON COLUMN salla_sync.sync_runs.next_request_fencing IS
    'The claim at whose end next_request_at was written: it says nothing about requests of later ones.';
