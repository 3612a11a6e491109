-- Merchants sign in: with what Salla's dashboard says of them, or with a consent. What the doors
-- over HTTP let through is limited and recorded.

CREATE TABLE salla_sync.sessions (
    id          uuid PRIMARY KEY,
    salla_id    bigint NOT NULL,
    hash        bytea NOT NULL UNIQUE,
    former_hash bytea UNIQUE,
    carrier     text NOT NULL CHECK (carrier IN ('bearer', 'cookie')),
    opened_by   text NOT NULL,
    person      bigint,
    created_at  timestamptz NOT NULL,
    rotated_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    revoked_at  timestamptz
);
CREATE INDEX sessions_by_shop ON salla_sync.sessions (salla_id);
CREATE INDEX sessions_by_expiry ON salla_sync.sessions (expires_at);
COMMENT ON TABLE salla_sync.sessions IS
    'Merchants who have signed in. A session sees its own shop only; rows are deleted a day after they have expired.';
COMMENT ON COLUMN salla_sync.sessions.salla_id IS
    'Salla''s number of the shop, which may not be known here yet: a merchant may sign in before the shop''s tokens arrive.';
COMMENT ON COLUMN salla_sync.sessions.hash IS
    'SHA-256 of the secret that the browser carries, which has 256 random bits and is not stored.';
COMMENT ON COLUMN salla_sync.sessions.former_hash IS
    'The hash before the last rotation. It counts for a minute, for requests that are under way; later it is a copy that somebody else carries, and ends the session.';
COMMENT ON COLUMN salla_sync.sessions.carrier IS
    'How the secret travels: bearer (held in memory by the page inside Salla''s dashboard) or cookie.';
COMMENT ON COLUMN salla_sync.sessions.opened_by IS 'What the merchant has shown: embedded, consent or link.';
COMMENT ON COLUMN salla_sync.sessions.person IS 'Salla''s number of the person, where Salla has said so.';
COMMENT ON COLUMN salla_sync.sessions.rotated_at IS 'When the secret was replaced last.';
COMMENT ON COLUMN salla_sync.sessions.expires_at IS 'Until when it counts unless it is rotated again.';
COMMENT ON COLUMN salla_sync.sessions.ends_at IS 'Until when it counts at most.';
COMMENT ON COLUMN salla_sync.sessions.revoked_at IS 'Since when it no longer counts.';

CREATE TABLE salla_sync.rate_limits (
    rule    text NOT NULL,
    caller  bytea NOT NULL,
    full_at timestamptz NOT NULL,
    PRIMARY KEY (rule, caller)
);
CREATE INDEX rate_limits_by_time ON salla_sync.rate_limits (full_at);
COMMENT ON TABLE salla_sync.rate_limits IS
    'How much of a limit a caller has used, for all processes together. Rows whose limit is whole again are deleted.';
COMMENT ON COLUMN salla_sync.rate_limits.rule IS 'Which limit.';
COMMENT ON COLUMN salla_sync.rate_limits.caller IS 'SHA-256 of the caller''s address or of what else is limited.';
COMMENT ON COLUMN salla_sync.rate_limits.full_at IS 'When the whole limit is there again.';

CREATE TABLE salla_sync.audit_log (
    id          uuid PRIMARY KEY,
    happened_at timestamptz NOT NULL,
    action      text NOT NULL,
    actor       text NOT NULL,
    salla_id    bigint,
    address     text,
    detail      text
);
CREATE INDEX audit_log_by_time ON salla_sync.audit_log (happened_at);
CREATE INDEX audit_log_by_shop ON salla_sync.audit_log (salla_id, happened_at);
COMMENT ON TABLE salla_sync.audit_log IS
    'Who did what that matters for security and privacy: rows are added and never changed, hold no secret, and are deleted after 400 days.';
COMMENT ON COLUMN salla_sync.audit_log.happened_at IS 'When it happened.';
COMMENT ON COLUMN salla_sync.audit_log.action IS 'What happened, under a stable name.';
COMMENT ON COLUMN salla_sync.audit_log.actor IS
    'Who did it: operator (the command line), token ID, session ID, salla, merchant or service.';
COMMENT ON COLUMN salla_sync.audit_log.salla_id IS 'Salla''s number of the shop that it concerns; null: none or all.';
COMMENT ON COLUMN salla_sync.audit_log.address IS 'The address that the request came from, where there was one.';
COMMENT ON COLUMN salla_sync.audit_log.detail IS 'What else is known of it.';
