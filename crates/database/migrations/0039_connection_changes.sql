-- The app's backend is told when a shop's connection is created, replaced, broken or recovered.
-- What is to be told is written in the transaction of the change itself, so that neither is there
-- without the other; a worker puts it on the queue.

ALTER TABLE salla_sync.connections ADD COLUMN tags jsonb;
COMMENT ON COLUMN salla_sync.connections.tags IS
    'Names and values that whoever handed the tokens over wants to be told with each change. They pass to the connection that takes this one''s place without any.';

CREATE TABLE salla_sync.connection_changes (
    id            uuid PRIMARY KEY,
    merchant_id   uuid NOT NULL REFERENCES salla_sync.merchants ON DELETE CASCADE,
    connection_id uuid NOT NULL REFERENCES salla_sync.connections ON DELETE CASCADE,
    kind          text NOT NULL CHECK (kind IN ('CONNECTION_CREATED', 'CONNECTION_REPLACED',
                      'CONNECTION_BROKEN', 'CONNECTION_RECOVERED')),
    reason        text,
    is_owned      boolean,
    tags          jsonb,
    changed_at    timestamptz NOT NULL,
    sent_at       timestamptz,
    taken_by      text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX connection_changes_unsent ON salla_sync.connection_changes (changed_at) WHERE sent_at IS NULL;
CREATE INDEX connection_changes_of_merchant ON salla_sync.connection_changes (merchant_id, id DESC);
COMMENT ON TABLE salla_sync.connection_changes IS 'What the app''s backend is told about connections.';
COMMENT ON COLUMN salla_sync.connection_changes.id IS 'Also the idempotency key of what is sent.';
COMMENT ON COLUMN salla_sync.connection_changes.merchant_id IS 'Whose connection it is.';
COMMENT ON COLUMN salla_sync.connection_changes.connection_id IS 'The connection as it is after the change.';
COMMENT ON COLUMN salla_sync.connection_changes.kind IS
    'CONNECTION_CREATED: the shop had none. CONNECTION_REPLACED: newer tokens took the place of others that served. CONNECTION_BROKEN: its tokens no longer serve. CONNECTION_RECOVERED: they serve again, or new ones do.';
COMMENT ON COLUMN salla_sync.connection_changes.reason IS 'Why it is broken, as a failure code.';
COMMENT ON COLUMN salla_sync.connection_changes.is_owned IS
    'True: the tokens are refreshed here. False: they are lent. Null: they are forgotten.';
COMMENT ON COLUMN salla_sync.connection_changes.tags IS 'The connection''s tags at that moment.';
COMMENT ON COLUMN salla_sync.connection_changes.changed_at IS 'When it changed.';
COMMENT ON COLUMN salla_sync.connection_changes.sent_at IS 'When a worker put it on the queue; null until then, and for good where no channel takes it.';
COMMENT ON COLUMN salla_sync.connection_changes.taken_by IS 'Which channels have confirmed it.';
