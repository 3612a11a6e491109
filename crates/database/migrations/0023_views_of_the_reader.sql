-- A view reads with the rights of its owner unless it says otherwise, and so shows rows that
-- row-level security hides from its reader.
ALTER VIEW salla.sales SET (security_invoker = true);
ALTER VIEW salla.daily_sales SET (security_invoker = true);
ALTER VIEW salla.product_sales SET (security_invoker = true);
ALTER VIEW salla.customer_orders SET (security_invoker = true);
ALTER VIEW salla_sync.tombstones SET (security_invoker = true);
