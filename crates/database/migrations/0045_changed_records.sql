-- Workers fetch changed records between imports. Of several workers one does so for a shop.

ALTER TABLE salla_sync.merchants ADD COLUMN changes_held_until timestamptz;
COMMENT ON COLUMN salla_sync.merchants.changes_held_until IS
    'Until when no worker takes the shop''s changed records: another one fetches them, or has just done so; by the importer''s clock.';
