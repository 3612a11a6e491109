-- What Salla sent, when, and what became of it. The versions decide which record
-- may be written to salla; they are kept for every record, its raw text only where
-- the run wants it.

CREATE TABLE salla_sync.source_records (
    merchant_id    uuid NOT NULL,
    resource       salla_sync.resource NOT NULL,
    salla_id       bigint NOT NULL,
    list_version   timestamptz,
    list_since     timestamptz,
    list_hash      bytea,
    detail_version timestamptz,
    detail_hash    bytea,
    gone_at        timestamptz,
    list_run       bigint,
    detail_run     bigint,
    effect         smallint NOT NULL,
    list_raw       bytea,
    detail_raw     bytea,
    items_raw      bytea,
    PRIMARY KEY (merchant_id, resource, salla_id)
);
-- The raw texts are compressed before they come here.
ALTER TABLE salla_sync.source_records
    ALTER COLUMN list_raw SET STORAGE EXTERNAL,
    ALTER COLUMN detail_raw SET STORAGE EXTERNAL,
    ALTER COLUMN items_raw SET STORAGE EXTERNAL;
COMMENT ON TABLE salla_sync.source_records IS
    'One row for each record Salla ever gave: versions, what it sent, and tombstones. A version is the time at which the request was sent; an older one never overwrites a newer one.';
COMMENT ON COLUMN salla_sync.source_records.list_version IS 'Version of the record as a list gave it; of an order, only where the list gave a header.';
COMMENT ON COLUMN salla_sync.source_records.list_since IS 'The version that first showed the present content; an order''s details older than this are fetched again.';
COMMENT ON COLUMN salla_sync.source_records.list_hash IS 'Tells whether the content changed: a part of the SHA-256 of the raw text.';
COMMENT ON COLUMN salla_sync.source_records.detail_version IS 'Orders only: version of the whole order, from a list or by itself.';
COMMENT ON COLUMN salla_sync.source_records.detail_hash IS 'Like list_hash, over the whole order and its items.';
COMMENT ON COLUMN salla_sync.source_records.gone_at IS
    'Tombstone: when Salla was asked and no longer had the record, so that a page in flight does not bring it back.';
COMMENT ON COLUMN salla_sync.source_records.list_run IS 'Number of the last run that met the record in a list, so that each run counts it once.';
COMMENT ON COLUMN salla_sync.source_records.detail_run IS 'Number of the last run that met the whole order.';
COMMENT ON COLUMN salla_sync.source_records.effect IS
    'What the last landing did, as bits: 1 content changed, 2 first met by its run, 4 row is new, 8 first whole order of its run. Kept because RETURNING does not see the former row before PostgreSQL 18.';
COMMENT ON COLUMN salla_sync.source_records.list_raw IS 'The raw text of the list row, compressed with zstd; null where the run does not keep it.';
COMMENT ON COLUMN salla_sync.source_records.detail_raw IS 'The raw text of the whole order, compressed with zstd.';
COMMENT ON COLUMN salla_sync.source_records.items_raw IS 'The raw text of its items where they were fetched apart, compressed with zstd.';

CREATE VIEW salla_sync.tombstones AS
    SELECT merchant_id, resource, salla_id, gone_at
    FROM salla_sync.source_records
    WHERE gone_at IS NOT NULL;
COMMENT ON VIEW salla_sync.tombstones IS 'Records that Salla once gave and no longer has.';

CREATE TABLE salla_sync.pending_details (
    merchant_id uuid NOT NULL,
    order_id    bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    run_id      uuid NOT NULL,
    PRIMARY KEY (merchant_id, order_id)
);
CREATE INDEX pending_details_newest_first ON salla_sync.pending_details
    (run_id, created_at DESC, order_id DESC);
COMMENT ON TABLE salla_sync.pending_details IS
    'The work that the detail pass has left: orders without line items, or whose header changed since they were fetched.';
COMMENT ON COLUMN salla_sync.pending_details.created_at IS 'When the order was placed: the newest are completed first.';
COMMENT ON COLUMN salla_sync.pending_details.run_id IS 'The run that met the order last.';

CREATE TABLE salla_sync.rejected_records (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    merchant_id   uuid NOT NULL REFERENCES salla_sync.merchants,
    run_id        uuid NOT NULL REFERENCES salla_sync.sync_runs,
    resource      salla_sync.resource NOT NULL,
    kind          text NOT NULL,
    record_key    text NOT NULL,
    salla_id      bigint,
    code          text NOT NULL,
    json_path     text NOT NULL,
    message       text NOT NULL,
    raw           text NOT NULL,
    version       timestamptz NOT NULL,
    window_id     bigint,
    page          integer,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    resolved_at   timestamptz,
    UNIQUE (merchant_id, kind, record_key)
);
CREATE INDEX rejected_records_open ON salla_sync.rejected_records (merchant_id, resource, salla_id)
    WHERE resolved_at IS NULL;
CREATE INDEX rejected_records_open_of_run ON salla_sync.rejected_records (run_id)
    WHERE resolved_at IS NULL;
COMMENT ON TABLE salla_sync.rejected_records IS
    'Records that could not be understood, kept with their raw text and the reason. One bad record never costs its page.';
COMMENT ON COLUMN salla_sync.rejected_records.run_id IS 'The last run that met it.';
COMMENT ON COLUMN salla_sync.rejected_records.kind IS
    'Which answer it was: order_header (a list row), order_detail, order_items, customer, product, category or order_status.';
COMMENT ON COLUMN salla_sync.rejected_records.record_key IS 'The Salla id, or a SHA-256 of the raw text where no id could be read.';
COMMENT ON COLUMN salla_sync.rejected_records.code IS 'Stable name of the reason.';
COMMENT ON COLUMN salla_sync.rejected_records.json_path IS 'Where in the record the trouble is.';
COMMENT ON COLUMN salla_sync.rejected_records.message IS 'A sentence about it that quotes no value.';
COMMENT ON COLUMN salla_sync.rejected_records.raw IS 'The record as Salla sent it, which may hold personal data and need not be valid JSON; bytes that text cannot hold are left out.';
COMMENT ON COLUMN salla_sync.rejected_records.version IS 'When the request that returned it was sent.';
COMMENT ON COLUMN salla_sync.rejected_records.window_id IS 'The window in whose walk it was met; null for details.';
COMMENT ON COLUMN salla_sync.rejected_records.page IS 'The page of that walk.';
COMMENT ON COLUMN salla_sync.rejected_records.resolved_at IS 'When the same record, as new or newer, was understood and loaded.';
