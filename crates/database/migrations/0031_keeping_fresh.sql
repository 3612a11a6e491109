-- Workers keep finished shops true by starting a run for each from time to time. Of several
-- workers one starts it.

ALTER TABLE salla_sync.merchants ADD COLUMN kept_fresh_at timestamptz;
COMMENT ON COLUMN salla_sync.merchants.kept_fresh_at IS
    'When a worker last took it on itself to bring the shop up to date; by the importer''s clock.';
