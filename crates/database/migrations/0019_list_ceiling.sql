-- Salla documents no limit on how far a list can be paged; where a shop's lists stop is found
-- out by reading them, and windows of later runs are cut to fit from the start.

ALTER TABLE salla_sync.merchants ADD COLUMN list_ceiling bigint;
COMMENT ON COLUMN salla_sync.merchants.list_ceiling IS
    'How many rows Salla shows of this shop''s lists, where one of them has stopped before its total; null: no list has. Set it to null to have it found out again.';
