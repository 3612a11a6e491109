-- The end of an import is told in the app and through channels outside. The message
-- that asks for it may come more than once; what is told must not.

CREATE TABLE salla_sync.notifications (
    id          uuid PRIMARY KEY,
    merchant_id uuid NOT NULL REFERENCES salla_sync.merchants,
    run_id      uuid NOT NULL REFERENCES salla_sync.sync_runs,
    ending      integer NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('SYNC_COMPLETE', 'SYNC_FAILED', 'RECONNECT_NEEDED')),
    ended_at    timestamptz NOT NULL,
    progress    jsonb NOT NULL,
    failure     jsonb,
    created_at  timestamptz NOT NULL,
    read_at     timestamptz,
    UNIQUE (run_id, ending)
);
CREATE INDEX notifications_of_merchant ON salla_sync.notifications (merchant_id, id DESC);
COMMENT ON TABLE salla_sync.notifications IS
    'What merchants are told in the app: one row for each ending of a run that is a job.';
COMMENT ON COLUMN salla_sync.notifications.id IS 'Also the idempotency key of what is sent outside.';
COMMENT ON COLUMN salla_sync.notifications.ending IS
    'sync_runs.endings when it was written: a run that fails, is restarted and fails again is told twice.';
COMMENT ON COLUMN salla_sync.notifications.kind IS
    'SYNC_COMPLETE, SYNC_FAILED, or RECONNECT_NEEDED where only the merchant can help.';
COMMENT ON COLUMN salla_sync.notifications.ended_at IS 'When the run ended.';
COMMENT ON COLUMN salla_sync.notifications.progress IS
    'What had been imported by then: percent, orders, order_details, customers, products, rejected, pages. Kept here because a run that is restarted goes on counting.';
COMMENT ON COLUMN salla_sync.notifications.failure IS
    'code, message and advice of the failure that ended it; null when it completed. A run that is restarted forgets its own.';
COMMENT ON COLUMN salla_sync.notifications.created_at IS 'When it was written.';
COMMENT ON COLUMN salla_sync.notifications.read_at IS 'When the merchant read it.';

CREATE TABLE salla_sync.notification_deliveries (
    notification_id uuid NOT NULL REFERENCES salla_sync.notifications ON DELETE CASCADE,
    channel         text NOT NULL,
    delivered_at    timestamptz NOT NULL,
    PRIMARY KEY (notification_id, channel)
);
COMMENT ON TABLE salla_sync.notification_deliveries IS
    'Which channels have taken a notification, so that trying the others again does not repeat these.';
COMMENT ON COLUMN salla_sync.notification_deliveries.notification_id IS 'What was delivered.';
COMMENT ON COLUMN salla_sync.notification_deliveries.channel IS 'The name of the channel, e.g. webhook.';
COMMENT ON COLUMN salla_sync.notification_deliveries.delivered_at IS 'When the channel confirmed it.';
