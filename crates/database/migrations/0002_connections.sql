-- Refresh tokens are single-use, so all processes must share one place for a shop's
-- tokens and agree on who presents the refresh token. Tokens are encrypted before
-- they come here, so that a copy of the database opens no shop.

CREATE TABLE salla_sync.connections (
    id                 uuid PRIMARY KEY,
    merchant_id        uuid REFERENCES salla_sync.merchants,
    is_current         boolean NOT NULL DEFAULT false,
    fingerprint        bytea NOT NULL UNIQUE,
    key_id             text NOT NULL,
    access_token       bytea NOT NULL,
    refresh_token      bytea,
    expires_at         timestamptz,
    scope              text,
    version            bigint NOT NULL DEFAULT 1,
    state              text NOT NULL CHECK (state IN ('ACTIVE', 'REFRESHING', 'DISCONNECTED')),
    refresh_started_at timestamptz,
    disconnected_why   text,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    CHECK ((state = 'REFRESHING') = (refresh_started_at IS NOT NULL)),
    CHECK ((state = 'DISCONNECTED') = (disconnected_why IS NOT NULL)),
    CHECK (NOT is_current OR merchant_id IS NOT NULL)
);
CREATE UNIQUE INDEX connections_one_current ON salla_sync.connections (merchant_id) WHERE is_current;
COMMENT ON TABLE salla_sync.connections IS 'The encrypted tokens of each connected shop and their state.';
COMMENT ON COLUMN salla_sync.connections.merchant_id IS 'Whose tokens these are; null until Salla has told.';
COMMENT ON COLUMN salla_sync.connections.is_current IS 'Older connections of a shop stay on record but are not used.';
COMMENT ON COLUMN salla_sync.connections.fingerprint IS
    'SHA-256 of the tokens that were first given, to recognise them when the program is started with them again after a refresh.';
COMMENT ON COLUMN salla_sync.connections.key_id IS 'Which key of SALLA_SYNC_KEY opens the tokens.';
COMMENT ON COLUMN salla_sync.connections.access_token IS
    'XChaCha20-Poly1305: 24 bytes of nonce, then the ciphertext, bound to this row and column.';
COMMENT ON COLUMN salla_sync.connections.refresh_token IS 'Encrypted like access_token; single-use.';
COMMENT ON COLUMN salla_sync.connections.expires_at IS 'When the access token ends, where Salla said so.';
COMMENT ON COLUMN salla_sync.connections.scope IS 'What the tokens permit, as Salla said.';
COMMENT ON COLUMN salla_sync.connections.version IS
    'Grows with every change of the tokens. Changes compare and swap on it, so a late answer never overwrites newer tokens.';
COMMENT ON COLUMN salla_sync.connections.state IS
    'ACTIVE; REFRESHING: somebody has committed to present the refresh token; DISCONNECTED: parked until new tokens are given.';
COMMENT ON COLUMN salla_sync.connections.refresh_started_at IS 'Since when somebody presents the refresh token.';
COMMENT ON COLUMN salla_sync.connections.disconnected_why IS 'Stable name of why the tokens no longer serve.';
