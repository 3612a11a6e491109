-- A version that is later than now was written while a clock was ahead: whatever is read next
-- takes its place.

COMMENT ON COLUMN salla_sync.source_records.effect IS
    'What the last landing did, as bits: 1 content changed, 2 first met by its run, 4 row is new, 8 first whole order of its run, 16 a version that lay in the future was replaced. Kept because RETURNING does not see the former row before PostgreSQL 18.';
