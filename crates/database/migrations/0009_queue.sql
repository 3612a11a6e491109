-- Jobs must outlive the process that takes them on, and be sent in the transaction
-- that makes them necessary: so the queue is a table beside the runs.

CREATE TABLE salla_sync.queue_messages (
    id         uuid PRIMARY KEY,
    queue      text NOT NULL,
    body       text NOT NULL,
    sent_at    timestamptz NOT NULL,
    visible_at timestamptz NOT NULL,
    attempts   integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    receipt    uuid
);
-- What is ready lies in front of what is delayed, however much of that there is.
CREATE INDEX queue_messages_ready ON salla_sync.queue_messages (queue, visible_at, id);
COMMENT ON TABLE salla_sync.queue_messages IS
    'Messages on their way to a consumer. A row goes when its message is settled.';
COMMENT ON COLUMN salla_sync.queue_messages.id IS 'The identity of the message, which it keeps among the dead letters.';
COMMENT ON COLUMN salla_sync.queue_messages.queue IS 'historical-sync or notifications.';
COMMENT ON COLUMN salla_sync.queue_messages.body IS 'JSON that carries ids, nothing secret and nothing personal.';
COMMENT ON COLUMN salla_sync.queue_messages.sent_at IS 'When it was sent first.';
COMMENT ON COLUMN salla_sync.queue_messages.visible_at IS
    'From then on it may be received: the end of its delay, of its snooze or of its consumer''s lease; by the consumers'' clock.';
COMMENT ON COLUMN salla_sync.queue_messages.attempts IS 'Deliveries that count; snoozed ones do not.';
COMMENT ON COLUMN salla_sync.queue_messages.receipt IS
    'Names the latest delivery while nobody has settled it. Who comes with another one changes nothing.';

CREATE TABLE salla_sync.dead_letters (
    id          uuid PRIMARY KEY,
    queue       text NOT NULL,
    body        text NOT NULL,
    reason      text NOT NULL,
    attempts    integer NOT NULL,
    sent_at     timestamptz NOT NULL,
    buried_at   timestamptz NOT NULL,
    reported_at timestamptz
);
CREATE INDEX dead_letters_of_queue ON salla_sync.dead_letters (queue, id);
COMMENT ON TABLE salla_sync.dead_letters IS
    'Messages that were given up on. They stay until somebody puts them back or discards them.';
COMMENT ON COLUMN salla_sync.dead_letters.id IS 'The identity that the message had on its queue.';
COMMENT ON COLUMN salla_sync.dead_letters.queue IS 'The queue that it was on and goes back to.';
COMMENT ON COLUMN salla_sync.dead_letters.body IS 'As it was sent.';
COMMENT ON COLUMN salla_sync.dead_letters.reason IS 'Why it was given up on, without personal data.';
COMMENT ON COLUMN salla_sync.dead_letters.attempts IS 'Deliveries that counted before.';
COMMENT ON COLUMN salla_sync.dead_letters.sent_at IS 'When it was sent first.';
COMMENT ON COLUMN salla_sync.dead_letters.buried_at IS 'When it was given up on.';
COMMENT ON COLUMN salla_sync.dead_letters.reported_at IS 'When operators were told of it; null before.';
