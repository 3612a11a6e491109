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
