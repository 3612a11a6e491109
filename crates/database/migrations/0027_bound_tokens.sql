-- Tokens belong to one shop, whatever merchant_id says: by Salla's own number of it, which
-- is part of what the ciphertext is bound to. Rows of before are bound again with their next
-- refresh.

ALTER TABLE salla_sync.connections
    ADD COLUMN salla_id bigint,
    ADD COLUMN seal_format smallint NOT NULL DEFAULT 1 CHECK (seal_format IN (1, 2));

UPDATE salla_sync.connections c SET salla_id = m.salla_id
FROM salla_sync.merchants m
WHERE m.id = c.merchant_id;

COMMENT ON COLUMN salla_sync.connections.salla_id IS
    'Salla''s number of the shop that these tokens open; null until Salla has said.';
COMMENT ON COLUMN salla_sync.connections.seal_format IS
    'What the ciphertexts are bound to. 1: row and column; 2: row, column, version and salla_id.';

-- A constant sealed with each key in its time tells a wrong key from a damaged row: the first
-- stops the program before it writes anything, the second parks one shop.
CREATE TABLE salla_sync.key_checks (
    key_id     text PRIMARY KEY,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE salla_sync.key_checks IS 'A constant sealed with each key of SALLA_SYNC_KEY that was used.';
COMMENT ON COLUMN salla_sync.key_checks.key_id IS 'The key''s name.';
COMMENT ON COLUMN salla_sync.key_checks.sealed IS 'XChaCha20-Poly1305: 24 bytes of nonce, then the ciphertext.';

-- Every refresh token that was ever stored is known by its hash: given again, alone or with
-- another access token, it leads to its connection and is never presented as a new one.
CREATE TABLE salla_sync.refresh_tokens (
    hash          bytea PRIMARY KEY,
    connection_id uuid NOT NULL REFERENCES salla_sync.connections ON DELETE CASCADE,
    stored_at     timestamptz NOT NULL
);
CREATE INDEX refresh_tokens_by_connection ON salla_sync.refresh_tokens (connection_id);
COMMENT ON TABLE salla_sync.refresh_tokens IS 'Every refresh token that was ever stored, by its hash.';
COMMENT ON COLUMN salla_sync.refresh_tokens.hash IS
    'SHA-256. Salla''s tokens are long random strings, so nobody finds one by trying.';
COMMENT ON COLUMN salla_sync.refresh_tokens.connection_id IS 'The connection that it belongs to, whatever tokens that holds by now.';
COMMENT ON COLUMN salla_sync.refresh_tokens.stored_at IS 'When it was stored first.';

-- When Salla gave the tokens to the app, where that was said: an older delivery that comes
-- late, or again, does not take the place of a newer one.
ALTER TABLE salla_sync.connections ADD COLUMN authorized_at timestamptz;
COMMENT ON COLUMN salla_sync.connections.authorized_at IS
    'When the merchant authorized the app, as the webhook said that brought the tokens.';

-- A copy of the database, a restored backup or a replica that was promoted holds tokens that
-- the original may have refreshed since. So a connection has a home, and elsewhere nothing is
-- refreshed until somebody has said that the original is gone. Where the server does not say
-- who it is, nothing is compared.
CREATE FUNCTION salla_sync.home() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN concat_ws('/',
        (SELECT system_identifier FROM pg_control_system()),
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()));
EXCEPTION WHEN insufficient_privilege OR undefined_function THEN
    RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION salla_sync.home() TO PUBLIC;
COMMENT ON FUNCTION salla_sync.home() IS 'Which database this is: system identifier, timeline, database.';

ALTER TABLE salla_sync.connections ADD COLUMN home text;
UPDATE salla_sync.connections SET home = salla_sync.home();
COMMENT ON COLUMN salla_sync.connections.home IS
    'The database in which these tokens may be refreshed, as salla_sync.home() says; `salla-sync connections adopt` changes it.';
