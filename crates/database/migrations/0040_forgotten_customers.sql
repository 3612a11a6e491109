-- A customer who is to be forgotten must not come back with the next import, and nothing of them
-- may be kept to know them by but a keyed hash. So a stand-in takes their place everywhere: an id
-- that Salla gives nobody, made of the hash. Counts, sums and proofs stay true.

CREATE TABLE salla_sync.sealed_secrets (
    name       text PRIMARY KEY,
    key_id     text NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE salla_sync.sealed_secrets IS 'Secrets that outlive the keys of SALLA_SYNC_KEY, which seal them.';
COMMENT ON COLUMN salla_sync.sealed_secrets.name IS 'What it is for: forgotten_customers keys the hashes of their ids.';
COMMENT ON COLUMN salla_sync.sealed_secrets.key_id IS 'Which key of SALLA_SYNC_KEY opens it.';
COMMENT ON COLUMN salla_sync.sealed_secrets.sealed IS
    'XChaCha20-Poly1305: 24 bytes of nonce, then the ciphertext, bound to the name.';
COMMENT ON COLUMN salla_sync.sealed_secrets.created_at IS 'When it was made.';

CREATE TABLE salla_sync.forgotten_customers (
    merchant_id  uuid NOT NULL REFERENCES salla_sync.merchants ON DELETE CASCADE,
    stand_in     bigint NOT NULL CHECK (stand_in >= 4611686018427387904),
    forgotten_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, stand_in)
);
COMMENT ON TABLE salla_sync.forgotten_customers IS
    'Customers who were forgotten. In every other table, too, only their stand-in is left: a customer without any property, whose id begins at 2^62.';
COMMENT ON COLUMN salla_sync.forgotten_customers.merchant_id IS 'Whose customer it was.';
COMMENT ON COLUMN salla_sync.forgotten_customers.stand_in IS
    '2^62 and 62 bits of the HMAC-SHA256 of the merchant''s and the customer''s id, keyed with a sealed secret.';
COMMENT ON COLUMN salla_sync.forgotten_customers.forgotten_at IS 'When they were forgotten first.';
