-- When a connection became its merchant's current one, by the clock that says when a run's
-- message was sent.
ALTER TABLE salla_sync.connections ADD COLUMN bound_at timestamptz;

UPDATE salla_sync.connections SET bound_at = created_at WHERE merchant_id IS NOT NULL;

COMMENT ON COLUMN salla_sync.connections.bound_at IS 'When it became the connection of its merchant; by the database''s clock.';
