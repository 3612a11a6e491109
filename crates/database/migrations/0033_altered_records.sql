-- Rows that somebody changes by hand, or restores from elsewhere, are no longer what Salla
-- sent, and nothing of what was read says so. The database notes them itself, so that landing
-- costs nothing, records without a raw text are seen as well, and the next import puts back
-- what it meets. Rows that are only added are found by counting.

CREATE TABLE salla_sync.altered_records (
    merchant_id uuid NOT NULL,
    resource    salla_sync.resource NOT NULL,
    salla_id    bigint NOT NULL,
    altered_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, resource, salla_id)
);
COMMENT ON TABLE salla_sync.altered_records IS
    'Records of which somebody else than salla-sync changed or deleted rows in salla; landing the record again takes it off this list.';
COMMENT ON COLUMN salla_sync.altered_records.altered_at IS 'When that was first noticed.';

-- Whoever may change the rows need not have any right on salla_sync.
CREATE FUNCTION salla_sync.note_altered_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed salla_sync.resource := TG_ARGV[0]::salla_sync.resource;
    noted bigint := (to_jsonb(OLD) ->> TG_ARGV[1])::bigint;
    above bigint;
BEGIN
    -- Salla lists a category inside the one above it, so that this is the record to read again.
    IF changed = 'categories' THEN
        above := (to_jsonb(OLD) ->> 'parent_id')::bigint;
        FOR step IN 1..9 LOOP
            EXIT WHEN above IS NULL;
            noted := above;
            SELECT c.parent_id INTO above FROM salla.categories c
            WHERE c.merchant_id = OLD.merchant_id AND c.id = noted;
        END LOOP;
    END IF;
    INSERT INTO salla_sync.altered_records (merchant_id, resource, salla_id)
    VALUES (OLD.merchant_id, changed, noted)
    ON CONFLICT DO NOTHING;
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) ->> TG_ARGV[1] <> to_jsonb(OLD) ->> TG_ARGV[1] THEN
        INSERT INTO salla_sync.altered_records (merchant_id, resource, salla_id)
        VALUES (NEW.merchant_id, changed, (to_jsonb(NEW) ->> TG_ARGV[1])::bigint)
        ON CONFLICT DO NOTHING;
    END IF;
    -- A customer whom only orders name comes back with one of them.
    IF changed = 'customers' AND NOT (to_jsonb(OLD) ->> 'from_list')::boolean THEN
        INSERT INTO salla_sync.altered_records (merchant_id, resource, salla_id)
        SELECT o.merchant_id, 'orders', o.id FROM salla.orders o
        WHERE o.merchant_id = OLD.merchant_id AND o.customer_id = (to_jsonb(OLD) ->> TG_ARGV[1])::bigint
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION salla_sync.note_altered_row IS
    'Notes in altered_records the record that a row of salla belongs to: its resource and the column with its id are given.';

CREATE FUNCTION salla_sync.note_emptied_table() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed salla_sync.resource := TG_ARGV[0]::salla_sync.resource;
BEGIN
    INSERT INTO salla_sync.altered_records (merchant_id, resource, salla_id)
    SELECT s.merchant_id, s.resource, s.salla_id FROM salla_sync.source_records s
    WHERE s.gone_at IS NULL
      AND (s.resource = changed OR changed = 'customers' AND s.resource = 'orders')
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION salla_sync.note_emptied_table IS
    'Notes in altered_records every record that may have had rows in the table that was truncated.';

-- Landings set salla_sync.landing for their transaction. An upsert that finds nothing to change
-- writes nothing, and a statement of somebody else that changes nothing does not count either.
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM (VALUES
        ('orders', 'orders', 'id'), ('order_items', 'orders', 'order_id'),
        ('order_discounts', 'orders', 'order_id'), ('customers', 'customers', 'id'),
        ('products', 'products', 'id'), ('product_variants', 'products', 'product_id'),
        ('product_categories', 'products', 'product_id'), ('categories', 'categories', 'id'),
        ('order_statuses', 'order_statuses', 'id')) AS n(name, resource, key)
    LOOP
        EXECUTE format(
            'CREATE TRIGGER salla_sync_row_changed AFTER UPDATE ON salla.%I FOR EACH ROW
             WHEN (current_setting(''salla_sync.landing'', true) IS DISTINCT FROM ''on''
                   AND OLD.* IS DISTINCT FROM NEW.*)
             EXECUTE FUNCTION salla_sync.note_altered_row(%L, %L)', t.name, t.resource, t.key);
        EXECUTE format(
            'CREATE TRIGGER salla_sync_row_deleted AFTER DELETE ON salla.%I FOR EACH ROW
             WHEN (current_setting(''salla_sync.landing'', true) IS DISTINCT FROM ''on'')
             EXECUTE FUNCTION salla_sync.note_altered_row(%L, %L)', t.name, t.resource, t.key);
        EXECUTE format(
            'CREATE TRIGGER salla_sync_emptied AFTER TRUNCATE ON salla.%I FOR EACH STATEMENT
             WHEN (current_setting(''salla_sync.landing'', true) IS DISTINCT FROM ''on'')
             EXECUTE FUNCTION salla_sync.note_emptied_table(%L)', t.name, t.resource);
    END LOOP;
END $$;
