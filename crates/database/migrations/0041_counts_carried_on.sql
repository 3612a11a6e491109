-- A run that reads what has changed, or a part of a shop, counts what it reads itself. Whoever
-- watches the shop's status must not see a finished shop's counts fall to those few.

ALTER TABLE salla_sync.merchant_sync_status
    ADD COLUMN carries_on boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN salla_sync.merchant_sync_status.carries_on IS
    'The run reads a part or what has changed: the counts go on from those before it, and say what the shop has.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.orders IS
    'Different orders that the run has loaded; where it carries on, those of the shop.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.order_details IS
    'Different orders of which the run has loaded amounts and line items; where it carries on, those of the shop.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.customers IS
    'Different customers that the run has loaded from the customer list; where it carries on, those of the shop.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.products IS
    'Different products that the run has loaded; where it carries on, those of the shop.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.rejected IS
    'Records that the run has set aside and that have not loaded since; where it carries on, those of the shop.';
COMMENT ON COLUMN salla_sync.merchant_sync_status.pages IS
    'List pages that have landed, repeated scans included; where it carries on, also those before it.';
COMMENT ON COLUMN salla_sync.source_records.effect IS
    'What the last landing did, as bits: 1 content changed, 2 first met by its run, 4 row is new, 8 first whole order of its run, 16 a version that lay in the future was replaced, 32 first details of the order, or its only ones are gone, 64 it is there again, or it was there and is gone. Kept because RETURNING does not see the former row before PostgreSQL 18.';

-- Shops that were brought up to date before show the few records of that run.
UPDATE salla_sync.merchant_sync_status s SET
    orders = greatest(s.orders, whole.orders),
    order_details = greatest(s.order_details, whole.order_details),
    customers = greatest(s.customers, whole.customers),
    products = greatest(s.products, whole.products),
    carries_on = true
FROM salla_sync.sync_runs r
CROSS JOIN LATERAL (
    SELECT w.orders, w.order_details, w.customers, w.products FROM salla_sync.sync_runs w
    WHERE w.merchant_id = r.merchant_id AND w.state = 'COMPLETED' AND w.since_run IS NULL
      AND w.only_resource IS NULL AND w.max_orders IS NULL
    ORDER BY w.number DESC LIMIT 1) whole
WHERE r.id = s.run_id AND (r.since_run IS NOT NULL OR r.only_resource IS NOT NULL);
