-- Merchants are told by e-mail as well. An address is personal data, so it is encrypted like a
-- token and is of no use to whoever reads the database without the key.

CREATE TABLE salla_sync.merchant_contacts (
    merchant_id uuid PRIMARY KEY REFERENCES salla_sync.merchants ON DELETE CASCADE,
    email       bytea,
    key_id      text,
    version     bigint NOT NULL DEFAULT 1,
    language    text CHECK (language IN ('ar', 'en')),
    wants_email boolean NOT NULL DEFAULT true,
    is_set      boolean NOT NULL DEFAULT false,
    updated_at  timestamptz NOT NULL,
    CHECK ((email IS NULL) = (key_id IS NULL))
);
COMMENT ON TABLE salla_sync.merchant_contacts IS 'Whom e-mails about a shop reach.';
COMMENT ON COLUMN salla_sync.merchant_contacts.merchant_id IS 'Whose shop it is.';
COMMENT ON COLUMN salla_sync.merchant_contacts.email IS
    'XChaCha20-Poly1305: 24 bytes of nonce, then the ciphertext, bound to this row, column and version. Null: nobody is known, or wanted.';
COMMENT ON COLUMN salla_sync.merchant_contacts.key_id IS 'Which key of SALLA_SYNC_KEY opens the address.';
COMMENT ON COLUMN salla_sync.merchant_contacts.version IS 'Grows with every change of the address, which is bound to it.';
COMMENT ON COLUMN salla_sync.merchant_contacts.language IS 'In which language; null: Arabic.';
COMMENT ON COLUMN salla_sync.merchant_contacts.wants_email IS 'False: no e-mail is sent, whatever the address.';
COMMENT ON COLUMN salla_sync.merchant_contacts.is_set IS
    'True: the app, a merchant or an operator has set the address, or that there is none. False: Salla has named it, and it follows Salla.';
COMMENT ON COLUMN salla_sync.merchant_contacts.updated_at IS 'When it was changed last.';
