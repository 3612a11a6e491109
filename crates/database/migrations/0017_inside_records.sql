-- Salla's ids are data, not keys: the same article may stand in an order twice, each time
-- with the id of the first. What a list inside a record holds is known by its place in it.

-- Earlier versions kept one line of each id, so that places may be missing in between.
UPDATE salla.order_items t SET position = r.position
FROM (SELECT merchant_id, order_id, id,
             row_number() OVER (PARTITION BY merchant_id, order_id ORDER BY position, id) AS position
      FROM salla.order_items) r
WHERE t.merchant_id = r.merchant_id AND t.order_id = r.order_id AND t.id = r.id
  AND t.position <> r.position;
ALTER TABLE salla.order_items
    DROP CONSTRAINT order_items_pkey,
    ADD PRIMARY KEY (merchant_id, order_id, position);
COMMENT ON COLUMN salla.order_items.id IS 'Salla''s id of the line; several lines of an order may have the same one.';
COMMENT ON COLUMN salla.order_items.position IS
    'The place of the line in its order, from 1, in the order in which Salla lists them; part of the key.';

UPDATE salla.product_variants t SET position = r.position
FROM (SELECT merchant_id, product_id, id,
             row_number() OVER (PARTITION BY merchant_id, product_id ORDER BY position, id) AS position
      FROM salla.product_variants) r
WHERE t.merchant_id = r.merchant_id AND t.product_id = r.product_id AND t.id = r.id
  AND t.position <> r.position;
ALTER TABLE salla.product_variants
    DROP CONSTRAINT product_variants_pkey,
    ADD PRIMARY KEY (merchant_id, product_id, position);
COMMENT ON COLUMN salla.product_variants.id IS 'Salla''s id of the variant; several variants of a product may have the same one.';
COMMENT ON COLUMN salla.product_variants.option_value_ids IS
    'The chosen values of the product''s options; they may name options that no longer exist. Null where Salla''s entry names no value.';
COMMENT ON COLUMN salla.product_variants.position IS
    'The place of the variant in its product, from 1, in the order in which Salla lists them; part of the key.';

ALTER TABLE salla.product_categories ADD COLUMN position integer;
UPDATE salla.product_categories t SET position = r.position
FROM (SELECT merchant_id, product_id, category_id,
             row_number() OVER (PARTITION BY merchant_id, product_id ORDER BY category_id) AS position
      FROM salla.product_categories) r
WHERE t.merchant_id = r.merchant_id AND t.product_id = r.product_id AND t.category_id = r.category_id;
ALTER TABLE salla.product_categories
    ALTER COLUMN position SET NOT NULL,
    DROP CONSTRAINT product_categories_pkey,
    ADD PRIMARY KEY (merchant_id, product_id, position);
ALTER TABLE salla.product_categories ALTER COLUMN category_id DROP NOT NULL;
COMMENT ON TABLE salla.product_categories IS
    'In which categories each product is, one row for each entry that Salla lists: where it lists a category twice, so does this table.';
COMMENT ON COLUMN salla.product_categories.category_id IS 'Null where Salla''s entry names no category.';
COMMENT ON COLUMN salla.product_categories.position IS
    'The place of the category in its product, from 1, in the order in which Salla lists them; part of the key.';

-- The certificate compares these with the rows.
ALTER TABLE salla_sync.source_records
    ADD COLUMN lines integer,
    ADD COLUMN other_entries integer,
    ADD COLUMN total numeric,
    ADD COLUMN currency text;
COMMENT ON COLUMN salla_sync.source_records.lines IS
    'How many line items (of an order) or variants (of a product) Salla sent, counted before anything was written; null where the record was last read by a version that did not count them, or has not been read whole.';
COMMENT ON COLUMN salla_sync.source_records.other_entries IS
    'How many discounts (of an order) or categories (of a product) Salla sent; null as lines.';
COMMENT ON COLUMN salla_sync.source_records.total IS
    'Orders only: the total as Salla sent it, by the same rules as the order''s row; null where it sent none, or as lines.';
COMMENT ON COLUMN salla_sync.source_records.currency IS 'Orders only: the currency of the total as Salla sent it.';
