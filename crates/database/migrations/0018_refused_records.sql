-- A text of any length must not stop a shop, so no index holds one whole: a B-tree refuses
-- entries of more than 2,704 bytes.

DROP INDEX salla.products_by_sku;
CREATE INDEX products_by_sku ON salla.products USING hash (sku) WHERE sku IS NOT NULL;
COMMENT ON INDEX salla.products_by_sku IS
    'Finds sku = ''…''. A hash index, because it takes texts of any length.';

DROP INDEX salla.orders_by_status;
CREATE INDEX orders_by_status ON salla.orders (merchant_id, left(status_slug, 100));
COMMENT ON INDEX salla.orders_by_status IS
    'Finds left(status_slug, 100) = ''…'': of the whole column an entry could be too long.';

-- Logical replication leaves out generated columns before PostgreSQL 18, and every report
-- groups by this one. It keeps its values; the landing writes it from now on.

ALTER TABLE salla.orders ALTER COLUMN riyadh_date DROP EXPRESSION;

COMMENT ON TABLE salla_sync.rejected_records IS
    'Records that could not be understood, or that the database did not take, kept with their raw text and the reason. One bad record never costs its page.';
COMMENT ON COLUMN salla_sync.rejected_records.json_path IS
    'Where in the record the trouble is; of refused_by_database the table and column, as far as PostgreSQL names them.';
COMMENT ON COLUMN salla_sync.rejected_records.message IS
    'A sentence about it that quotes no value; of refused_by_database with the SQLSTATE.';
COMMENT ON COLUMN salla_sync.rejected_records.raw IS
    'The record as Salla sent it, which may hold personal data and need not be valid JSON; bytes that text cannot hold are left out. Empty where there was no text of its own: a customer in an order, or a record that could not be removed.';
