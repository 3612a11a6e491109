-- A refresh token whose fate is unknown is presented one last time, once the shop would be
-- lost anyway. So the row says how often it was, in whose name, and whether an answer may
-- still come; and when a refresh was tried last, because no claim about a token's lifetime
-- may lead to more than one early refresh a minute, whichever process asks.

ALTER TABLE salla_sync.connections
    ADD COLUMN refresh_intent uuid,
    ADD COLUMN refresh_presentations smallint NOT NULL DEFAULT 0
        CHECK (refresh_presentations BETWEEN 0 AND 2),
    ADD COLUMN refresh_lost_at timestamptz,
    ADD COLUMN refresh_tried_at timestamptz;

UPDATE salla_sync.connections
SET refresh_presentations = 1, refresh_tried_at = refresh_started_at
WHERE state = 'REFRESHING';

COMMENT ON COLUMN salla_sync.connections.refresh_intent IS
    'Names the last intent to present the refresh token; only whoever holds it takes it back.';
COMMENT ON COLUMN salla_sync.connections.refresh_presentations IS
    'How often the refresh token of this version may have been presented; at most twice.';
COMMENT ON COLUMN salla_sync.connections.refresh_lost_at IS
    'When whoever presented the refresh token reported that no answer came; null while one may.';
COMMENT ON COLUMN salla_sync.connections.refresh_tried_at IS
    'When a refresh was begun last; early ones keep a minute from it.';
