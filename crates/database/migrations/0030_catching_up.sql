-- A shop whose history is there is brought up to date by a run of its own, which goes on from
-- what the finished one has listed instead of listing it again.

ALTER TABLE salla_sync.sync_runs
    ADD COLUMN since_run uuid REFERENCES salla_sync.sync_runs,
    ADD COLUMN refreshes_lists boolean NOT NULL DEFAULT false,
    ADD COLUMN change_head jsonb;
COMMENT ON COLUMN salla_sync.sync_runs.since_run IS
    'The finished run since which this one reads what has changed; null where everything is read. The windows of that run become this one''s, with what they list.';
COMMENT ON COLUMN salla_sync.sync_runs.refreshes_lists IS
    'A run that catches up reads customers and products whole, because Salla does not list their edits.';
COMMENT ON COLUMN salla_sync.sync_runs.change_head IS
    'Where the list of the orders updated last began when the run read it: the next one that catches up reads up to there.';
CREATE INDEX sync_runs_since ON salla_sync.sync_runs (since_run) WHERE since_run IS NOT NULL;

ALTER TABLE salla_sync.sync_windows
    ADD COLUMN read_at timestamptz,
    ADD COLUMN carried_at timestamptz;
COMMENT ON COLUMN salla_sync.sync_windows.read_at IS
    'When the present or last scan of the window began: what Salla does not list by change is known as of then.';
COMMENT ON COLUMN salla_sync.sync_windows.carried_at IS
    'When what the window lists was last brought up to date by what has changed, without another scan; null after a scan.';
COMMENT ON COLUMN salla_sync.sync_windows.run_id IS
    'The run whose list it is; a run that catches up takes over the windows of the one it goes on from.';
UPDATE salla_sync.sync_windows w SET read_at = (
    SELECT min(p.landed_at) FROM salla_sync.sync_pages p
    WHERE p.window_id = w.id AND p.walk = w.walk);
