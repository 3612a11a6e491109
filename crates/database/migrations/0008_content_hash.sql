-- The hash needs no cryptography: it only tells whether the content changed. Where a
-- hash of the former kind is met, the record is written once more, which changes nothing.

COMMENT ON COLUMN salla_sync.source_records.list_hash IS
    'Tells whether the content changed: the XXH3 hash, 128 bits, of the raw text.';
