-- A run must survive the process that works on it: who holds it, what it plans,
-- which pages have landed. Everything that only the importer needs lives in
-- salla_sync, so that the loaded data in salla stay free of bookkeeping.

CREATE SCHEMA IF NOT EXISTS salla_sync;
COMMENT ON SCHEMA salla_sync IS
    'Bookkeeping of the importer: runs, checkpoints, rejections, connections. Not for reports.';
COMMENT ON TABLE salla_sync._sqlx_migrations IS
    'Which migrations have been applied; kept by the migration tool.';

CREATE TYPE salla_sync.resource AS ENUM
    ('orders', 'customers', 'products', 'categories', 'order_statuses');
COMMENT ON TYPE salla_sync.resource IS
    'A kind of record. Salla''s ids are unique only within one resource of one shop.';

CREATE TABLE salla_sync.merchants (
    id         uuid PRIMARY KEY,
    salla_id   bigint NOT NULL UNIQUE,
    name       text NOT NULL,
    plan       text NOT NULL,
    kind       text,
    status     text,
    currency   text,
    domain     text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE salla_sync.merchants IS 'One row for each Salla shop that was ever connected.';
COMMENT ON COLUMN salla_sync.merchants.id IS 'Our own identity of the shop; the first column of every key.';
COMMENT ON COLUMN salla_sync.merchants.salla_id IS 'Salla''s number of the shop.';
COMMENT ON COLUMN salla_sync.merchants.plan IS 'The shop''s subscription, which sets its request budget.';
COMMENT ON COLUMN salla_sync.merchants.kind IS 'demo, development or live.';
COMMENT ON COLUMN salla_sync.merchants.status IS 'active or inactive.';
COMMENT ON COLUMN salla_sync.merchants.created_at IS 'When the shop was first connected.';
COMMENT ON COLUMN salla_sync.merchants.updated_at IS 'When Salla was last asked about the shop.';

CREATE TABLE salla_sync.sync_runs (
    id               uuid PRIMARY KEY,
    number           bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    merchant_id      uuid NOT NULL REFERENCES salla_sync.merchants,
    state            text NOT NULL CHECK (state IN ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'FAILED')),
    months           integer NOT NULL,
    max_orders       bigint,
    keep_raw         boolean NOT NULL,
    range_from       date NOT NULL,
    range_to         date NOT NULL,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    completed_at     timestamptz,
    superseded_at    timestamptz,
    plan             jsonb,
    certificate      jsonb,
    failure_code     text,
    failure_message  text,
    failure_advice   text,
    fencing          bigint NOT NULL DEFAULT 0,
    lease_owner      text,
    lease_until      timestamptz,
    progress_percent integer NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
    orders           bigint NOT NULL DEFAULT 0,
    order_details    bigint NOT NULL DEFAULT 0,
    customers        bigint NOT NULL DEFAULT 0,
    products         bigint NOT NULL DEFAULT 0,
    rejected         bigint NOT NULL DEFAULT 0,
    pages            bigint NOT NULL DEFAULT 0,
    CHECK (range_from <= range_to)
);
-- Two commands started at once must end up with the same run.
CREATE UNIQUE INDEX sync_runs_one_not_over ON salla_sync.sync_runs (merchant_id)
    WHERE state <> 'COMPLETED' AND superseded_at IS NULL;
CREATE INDEX sync_runs_latest ON salla_sync.sync_runs (merchant_id, number DESC);
COMMENT ON TABLE salla_sync.sync_runs IS
    'One historical import of one shop. At most one run of a shop is not over at any time.';
COMMENT ON COLUMN salla_sync.sync_runs.number IS 'Runs in the order of their creation.';
COMMENT ON COLUMN salla_sync.sync_runs.state IS
    'PENDING: nobody works on it. IN_PROGRESS: somebody holds the lease. COMPLETED: proven by its certificate. FAILED: somebody must act; starting the same import again goes on.';
COMMENT ON COLUMN salla_sync.sync_runs.months IS 'How many months back the user wants.';
COMMENT ON COLUMN salla_sync.sync_runs.max_orders IS 'Only so many of the newest orders, for a first try.';
COMMENT ON COLUMN salla_sync.sync_runs.keep_raw IS 'Whether source_records keeps what Salla sent.';
COMMENT ON COLUMN salla_sync.sync_runs.range_from IS 'First Riyadh day of the import.';
COMMENT ON COLUMN salla_sync.sync_runs.range_to IS
    'Last Riyadh day of the import: the day on which the run was created; it never moves.';
COMMENT ON COLUMN salla_sync.sync_runs.superseded_at IS
    'When another import was started instead of going on with this failed one.';
COMMENT ON COLUMN salla_sync.sync_runs.plan IS 'Windows, requests and least duration, as planned before the first fetch.';
COMMENT ON COLUMN salla_sync.sync_runs.certificate IS 'The ledger that proves the run, or shows what is missing.';
COMMENT ON COLUMN salla_sync.sync_runs.failure_code IS 'Stable name of why the run ended FAILED.';
COMMENT ON COLUMN salla_sync.sync_runs.failure_message IS 'What happened, without personal data.';
COMMENT ON COLUMN salla_sync.sync_runs.failure_advice IS 'What the reader can do about it.';
COMMENT ON COLUMN salla_sync.sync_runs.fencing IS
    'Grows with every claim. A write that carries an older number is refused, so a worker that lost its lease can do no harm.';
COMMENT ON COLUMN salla_sync.sync_runs.lease_owner IS 'Which process works on the run.';
COMMENT ON COLUMN salla_sync.sync_runs.lease_until IS 'From then on another process may take the run over; by the database''s clock.';
COMMENT ON COLUMN salla_sync.sync_runs.progress_percent IS '100 only when COMPLETED.';
COMMENT ON COLUMN salla_sync.sync_runs.orders IS 'Different orders that this run has loaded.';
COMMENT ON COLUMN salla_sync.sync_runs.order_details IS 'Different orders of which this run has loaded amounts and line items.';
COMMENT ON COLUMN salla_sync.sync_runs.customers IS 'Different customers that this run has loaded from the customer list.';
COMMENT ON COLUMN salla_sync.sync_runs.products IS 'Different products that this run has loaded.';
COMMENT ON COLUMN salla_sync.sync_runs.rejected IS 'Records that this run has set aside and that have not loaded since.';
COMMENT ON COLUMN salla_sync.sync_runs.pages IS 'List pages that have landed, repeated walks included.';

CREATE TABLE salla_sync.merchant_sync_status (
    merchant_id           uuid PRIMARY KEY REFERENCES salla_sync.merchants,
    run_id                uuid NOT NULL REFERENCES salla_sync.sync_runs,
    status                text NOT NULL CHECK (status IN ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'FAILED')),
    started_at            timestamptz,
    completed_at          timestamptz,
    progress_percent      integer NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
    last_processed_cursor jsonb,
    orders                bigint NOT NULL DEFAULT 0,
    order_details         bigint NOT NULL DEFAULT 0,
    customers             bigint NOT NULL DEFAULT 0,
    products              bigint NOT NULL DEFAULT 0,
    rejected              bigint NOT NULL DEFAULT 0,
    pages                 bigint NOT NULL DEFAULT 0,
    updated_at            timestamptz NOT NULL
);
COMMENT ON TABLE salla_sync.merchant_sync_status IS
    'How far the latest import of each shop is. Written in the transaction that lands the rows, so it never runs ahead of them.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.run_id IS 'The run that this row describes.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.status IS 'The state of the run, see sync_runs.state.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.progress_percent IS '100 only when COMPLETED.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.last_processed_cursor IS
    'Where the last commit was: resource, window of days and page of a list, or the order whose details landed. Going on uses sync_pages, which knows every page.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.orders IS 'Different orders that the run has loaded.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.order_details IS 'Different orders of which the run has loaded amounts and line items.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.customers IS 'Different customers that the run has loaded from the customer list.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.products IS 'Different products that the run has loaded.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.rejected IS 'Records that the run has set aside and that have not loaded since.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.pages IS 'List pages that have landed, repeated walks included.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.updated_at IS 'When the last commit was.';

CREATE TABLE salla_sync.sync_windows (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      uuid NOT NULL REFERENCES salla_sync.sync_runs,
    resource    salla_sync.resource NOT NULL,
    day_from    date,
    day_to      date,
    position    integer NOT NULL,
    walk        integer NOT NULL DEFAULT 0,
    settled_at  timestamptz,
    cut_short   boolean NOT NULL DEFAULT false,
    replaced_at timestamptz
);
CREATE INDEX sync_windows_in_order ON salla_sync.sync_windows (run_id, position);
COMMENT ON TABLE salla_sync.sync_windows IS
    'The slices of a run: orders by creation day, every other resource as one whole.';
COMMENT ON COLUMN salla_sync.sync_windows.day_from IS
    'First Riyadh day, without the overlap that is asked for in addition; null for a whole resource.';
COMMENT ON COLUMN salla_sync.sync_windows.day_to IS 'Last Riyadh day; null for a whole resource.';
COMMENT ON COLUMN salla_sync.sync_windows.position IS 'Windows are walked in this order, the newest days first.';
COMMENT ON COLUMN salla_sync.sync_windows.walk IS 'The walk in progress or the last one; 0 before the first.';
COMMENT ON COLUMN salla_sync.sync_windows.settled_at IS 'When a walk was proven to be complete, so that it need not be walked again.';
COMMENT ON COLUMN salla_sync.sync_windows.cut_short IS 'The walk ended early because the run wanted only so many orders; such a window proves nothing.';
COMMENT ON COLUMN salla_sync.sync_windows.replaced_at IS 'When the window had too many rows and two halves took its place.';

CREATE TABLE salla_sync.sync_pages (
    window_id   bigint NOT NULL REFERENCES salla_sync.sync_windows,
    walk        integer NOT NULL,
    page        integer NOT NULL,
    total       bigint NOT NULL,
    per_page    integer NOT NULL,
    total_pages integer NOT NULL,
    ids         bigint[] NOT NULL,
    without_id  integer NOT NULL,
    landed_at   timestamptz NOT NULL,
    PRIMARY KEY (window_id, walk, page)
);
COMMENT ON TABLE salla_sync.sync_pages IS
    'One row for each list page that has landed, written with its records: the checkpoint from which a run goes on, and the proof of what Salla listed.';
COMMENT ON COLUMN salla_sync.sync_pages.walk IS 'The walk of the window to which the page belongs; pages of different walks prove nothing together.';
COMMENT ON COLUMN salla_sync.sync_pages.total IS 'How many rows the list has, as this page said.';
COMMENT ON COLUMN salla_sync.sync_pages.per_page IS 'Salla''s page size, which may be smaller than what was asked for.';
COMMENT ON COLUMN salla_sync.sync_pages.total_pages IS 'How many pages the list has, as this page said.';
COMMENT ON COLUMN salla_sync.sync_pages.ids IS 'The ids on the page, those of rejected records included.';
COMMENT ON COLUMN salla_sync.sync_pages.without_id IS 'Records on the page whose id could not be read; each is a rejection.';
