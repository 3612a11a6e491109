-- A list of products or customers may be longer than Salla shows of it. Then it is read in
-- slices, and its own window stays, because its total is what they have to add up to.

ALTER TABLE salla_sync.sync_windows
    ADD COLUMN slice text,
    ADD COLUMN sliced_at timestamptz;
COMMENT ON COLUMN salla_sync.sync_windows.slice IS
    'The part of a list that is too long to be read whole: sale, or sale/7 for those of them in category 7, or created where the window''s days are those on which customers were created; null where the window is no such part.';
COMMENT ON COLUMN salla_sync.sync_windows.sliced_at IS
    'When the list was found to be too long and slices were put behind this window; from then on it lists what they list.';
