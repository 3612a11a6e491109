-- How often a refresh token was presented is known by its hash too: a row of connections that
-- is set back, as by a failover or by hand, does not make a token look as if it were unused.

ALTER TABLE salla_sync.refresh_tokens
    ADD COLUMN version bigint,
    ADD COLUMN presentations smallint NOT NULL DEFAULT 0 CHECK (presentations BETWEEN 0 AND 2),
    ADD COLUMN intent uuid;

UPDATE salla_sync.refresh_tokens t SET version = ranked.version
FROM (SELECT r.hash, c.version + 1 - row_number() OVER (
             PARTITION BY r.connection_id ORDER BY r.stored_at DESC) AS version
      FROM salla_sync.refresh_tokens r
      JOIN salla_sync.connections c ON c.id = r.connection_id) ranked
WHERE ranked.hash = t.hash;

COMMENT ON COLUMN salla_sync.refresh_tokens.version IS
    'The version of the connection with which it was stored; a token of a lower version was used.';
COMMENT ON COLUMN salla_sync.refresh_tokens.presentations IS
    'How often it may have been presented; at most twice.';
COMMENT ON COLUMN salla_sync.refresh_tokens.intent IS
    'Names the last intent to present it, as connections.refresh_intent does.';
