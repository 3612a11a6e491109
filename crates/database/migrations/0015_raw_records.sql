COMMENT ON COLUMN salla_sync.source_records.list_raw IS 'The raw text of the list row, compressed with zstd and the dictionary that the frame names (records-1.zdict of salla-sync''s sources); null where the run does not keep it.';
COMMENT ON COLUMN salla_sync.source_records.detail_raw IS 'The raw text of the whole order, compressed in the same way.';
COMMENT ON COLUMN salla_sync.source_records.items_raw IS 'The raw text of its items where they were fetched apart, compressed in the same way.';
