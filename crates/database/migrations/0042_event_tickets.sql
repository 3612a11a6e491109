-- Browsers' EventSource sends no header, so a stream of events can be opened with a ticket in its
-- address instead of a token: it serves once, for half a minute.

CREATE TABLE salla_sync.event_tickets (
    hash        bytea PRIMARY KEY,
    merchant_id uuid NOT NULL REFERENCES salla_sync.merchants ON DELETE CASCADE,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX event_tickets_by_expiry ON salla_sync.event_tickets (expires_at);
COMMENT ON TABLE salla_sync.event_tickets IS
    'Tickets for streams of events that were not used yet. A row is deleted when its ticket is used, or with the next ticket after it has expired.';
COMMENT ON COLUMN salla_sync.event_tickets.hash IS
    'SHA-256 of the ticket, which has 256 random bits and is shown once.';
COMMENT ON COLUMN salla_sync.event_tickets.merchant_id IS 'Whose import may be followed with it.';
COMMENT ON COLUMN salla_sync.event_tickets.expires_at IS 'Until when it can be used, by the server''s clock.';
