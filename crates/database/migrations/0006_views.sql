-- The questions that merchants ask first, so that nobody has to define "a sale"
-- twice.

CREATE VIEW salla.sales AS
    SELECT *
    FROM salla.orders
    WHERE status_slug IS NULL
       OR status_slug NOT IN ('canceled', 'restored', 'restoring', 'payment_pending');
COMMENT ON VIEW salla.sales IS
    'Orders that count as sales: every order but those that are canceled, restored (given back), restoring or still waiting for payment. An order whose status Salla does not name counts. All other views use this definition.';

CREATE VIEW salla.daily_sales AS
    SELECT merchant_id,
           riyadh_date,
           currency,
           count(*)                              AS orders,
           coalesce(sum(total), 0)               AS gross_total,
           sum(subtotal)                         AS subtotal,
           sum(shipping)                         AS shipping,
           sum(discount)                         AS discount,
           sum(tax_amount)                       AS tax,
           count(*) FILTER (WHERE NOT has_amounts) AS orders_without_amounts
    FROM salla.sales
    GROUP BY merchant_id, riyadh_date, currency;
COMMENT ON VIEW salla.daily_sales IS
    'Sales by Riyadh day and currency. A sale is every order that is not canceled, restored, restoring or payment_pending, see salla.sales.';
COMMENT ON COLUMN salla.daily_sales.gross_total IS 'Sum of the order totals, tax and shipping included.';
COMMENT ON COLUMN salla.daily_sales.subtotal IS 'Sum over the orders whose amounts are known; so are shipping, discount and tax.';
COMMENT ON COLUMN salla.daily_sales.orders_without_amounts IS 'Orders whose details have not been read yet: while there are any, only orders and gross_total are complete.';

CREATE VIEW salla.product_sales AS
    SELECT i.merchant_id,
           i.product_id,
           CASE WHEN i.product_id IS NULL THEN i.sku END AS sku,
           coalesce(max(p.name), max(i.name))    AS name,
           coalesce(i.currency, s.currency)      AS currency,
           count(DISTINCT i.order_id)            AS orders,
           sum(i.quantity)                       AS quantity,
           sum(i.total)                          AS total,
           min(s.riyadh_date)                    AS first_sold_on,
           max(s.riyadh_date)                    AS last_sold_on
    FROM salla.order_items i
    JOIN salla.sales s ON s.merchant_id = i.merchant_id AND s.id = i.order_id
    LEFT JOIN salla.products p ON p.merchant_id = i.merchant_id AND p.id = i.product_id
    GROUP BY i.merchant_id,
             i.product_id,
             CASE WHEN i.product_id IS NULL THEN i.sku END,
             CASE WHEN i.product_id IS NULL AND i.sku IS NULL THEN i.name END,
             coalesce(i.currency, s.currency);
COMMENT ON VIEW salla.product_sales IS
    'What was sold of each product. Items that name no product are grouped by sku, else by name. A sale is every order that is not canceled, restored, restoring or payment_pending, see salla.sales.';
COMMENT ON COLUMN salla.product_sales.sku IS 'Only for items that name no product.';
COMMENT ON COLUMN salla.product_sales.name IS 'The product''s present name, else one under which it was sold.';
COMMENT ON COLUMN salla.product_sales.total IS 'Sum of the line totals, before discount and tax.';

CREATE VIEW salla.customer_orders AS
    SELECT s.merchant_id,
           s.customer_id,
           nullif(concat_ws(' ', max(c.first_name), max(c.last_name)), '') AS name,
           count(*)            AS orders,
           count(*) - 1        AS repeat_orders,
           min(s.created_at)   AS first_order_at,
           max(s.created_at)   AS last_order_at,
           min(s.riyadh_date)  AS first_order_date,
           max(s.riyadh_date)  AS last_order_date
    FROM salla.sales s
    LEFT JOIN salla.customers c ON c.merchant_id = s.merchant_id AND c.id = s.customer_id
    WHERE s.customer_id IS NOT NULL
    GROUP BY s.merchant_id, s.customer_id;
COMMENT ON VIEW salla.customer_orders IS
    'How often each customer bought, within the imported months. A sale is every order that is not canceled, restored, restoring or payment_pending, see salla.sales.';
COMMENT ON COLUMN salla.customer_orders.repeat_orders IS 'Orders after the first one; 0 for who bought once.';
COMMENT ON COLUMN salla.customer_orders.first_order_at IS 'The first order within the imported months.';
