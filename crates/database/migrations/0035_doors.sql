-- Shops are connected over HTTP: tokens arrive with a webhook that is not repeated and has to be
-- confirmed within a second, consents come back through browsers, records change between imports,
-- and services request what they may see.

ALTER TABLE salla_sync.merchants ADD COLUMN uninstalled_at timestamptz;
COMMENT ON COLUMN salla_sync.merchants.uninstalled_at IS
    'Since when the app is no longer installed; the time for which the shop''s data may be kept counts from here. Null while it is installed.';

CREATE TABLE salla_sync.arrivals (
    connection_id uuid PRIMARY KEY REFERENCES salla_sync.connections ON DELETE CASCADE,
    salla_id      bigint,
    authorized_at timestamptz,
    received_at   timestamptz NOT NULL,
    settled_at    timestamptz,
    outcome       text,
    CHECK ((settled_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX arrivals_unsettled ON salla_sync.arrivals (received_at) WHERE settled_at IS NULL;
COMMENT ON TABLE salla_sync.arrivals IS
    'Tokens that Salla gave with a webhook or a consent: stored first, and settled afterwards.';
COMMENT ON COLUMN salla_sync.arrivals.connection_id IS 'Where the tokens are, encrypted.';
COMMENT ON COLUMN salla_sync.arrivals.salla_id IS 'Salla''s number of the shop that the delivery names; null for a consent, which names none.';
COMMENT ON COLUMN salla_sync.arrivals.authorized_at IS 'When the merchant authorized the app, as the delivery says, or consented.';
COMMENT ON COLUMN salla_sync.arrivals.received_at IS 'When they came first.';
COMMENT ON COLUMN salla_sync.arrivals.settled_at IS 'When it was known whose the tokens are; null until then.';
COMMENT ON COLUMN salla_sync.arrivals.outcome IS 'What became of them: connected, outdated, other_shop, refused or failed.';

CREATE TABLE salla_sync.used_consents (
    state      bytea PRIMARY KEY,
    code       bytea NOT NULL,
    holder     uuid NOT NULL,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    outcome    text
);
CREATE INDEX used_consents_by_expiry ON salla_sync.used_consents (expires_at);
COMMENT ON TABLE salla_sync.used_consents IS
    'Consents that came back from Salla, so that each counts once. Rows are deleted a day after they have expired.';
COMMENT ON COLUMN salla_sync.used_consents.state IS 'SHA-256 of the signed state that the browser carried.';
COMMENT ON COLUMN salla_sync.used_consents.code IS 'SHA-256 of the code that came with it: the same page that is loaded twice is no replay.';
COMMENT ON COLUMN salla_sync.used_consents.holder IS 'The request that used it.';
COMMENT ON COLUMN salla_sync.used_consents.used_at IS 'When that was.';
COMMENT ON COLUMN salla_sync.used_consents.expires_at IS 'When the state would have expired.';
COMMENT ON COLUMN salla_sync.used_consents.outcome IS 'What the browser was shown; null while it is being found out.';

CREATE TABLE salla_sync.changed_records (
    merchant_id uuid NOT NULL REFERENCES salla_sync.merchants,
    resource    salla_sync.resource NOT NULL,
    salla_id    bigint NOT NULL,
    marked_at   timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, resource, salla_id)
);
COMMENT ON TABLE salla_sync.changed_records IS
    'Records that a webhook says are other ones now, or gone: they are to be fetched. What the webhook itself says of them is never stored.';
COMMENT ON COLUMN salla_sync.changed_records.merchant_id IS 'Whose record it is.';
COMMENT ON COLUMN salla_sync.changed_records.resource IS 'What it is.';
COMMENT ON COLUMN salla_sync.changed_records.salla_id IS 'Salla''s id of it.';
COMMENT ON COLUMN salla_sync.changed_records.marked_at IS 'When a webhook said so last.';

CREATE TABLE salla_sync.api_tokens (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    hash         bytea NOT NULL UNIQUE,
    scopes       text[] NOT NULL,
    merchant_id  uuid REFERENCES salla_sync.merchants,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
COMMENT ON TABLE salla_sync.api_tokens IS 'Who may use the HTTP API: services and operators.';
COMMENT ON COLUMN salla_sync.api_tokens.name IS 'For people: what the token is for.';
COMMENT ON COLUMN salla_sync.api_tokens.hash IS
    'SHA-256 of the token, which has 256 random bits and is shown once.';
COMMENT ON COLUMN salla_sync.api_tokens.scopes IS 'What it allows: read, operate, records, connect.';
COMMENT ON COLUMN salla_sync.api_tokens.merchant_id IS 'The only merchant that it sees; null: all.';
COMMENT ON COLUMN salla_sync.api_tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN salla_sync.api_tokens.expires_at IS 'Until when it counts; null: until it is revoked.';
COMMENT ON COLUMN salla_sync.api_tokens.revoked_at IS 'Since when it no longer counts.';
COMMENT ON COLUMN salla_sync.api_tokens.last_used_at IS 'When it was used last, to the minute.';
