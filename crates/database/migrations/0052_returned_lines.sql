-- Salla does not say which sign the total of a line with a negative quantity has. Quantity and
-- money of a line count with the same sign, so that what was returned is not added to the sales.
-- The view keeps its columns, and salla.sale_items the totals as Salla gives them.

CREATE OR REPLACE VIEW salla.product_sales WITH (security_invoker = true) AS
    SELECT d.merchant_id, d.product_id,
           CASE WHEN d.product_id IS NULL THEN d.group_sku ELSE coalesce(nullif(p.sku, ''), d.sku) END AS sku,
           coalesce(p.name, d.name) AS name,
           d.shop_currency AS currency,
           d.orders, d.quantity,
           salla.with_digits(d.total, d.shop_currency) AS total,
           d.first_sold_on, d.last_sold_on,
           d.product_found_by, d.returned_quantity,
           d.lines_without_total, d.lines_not_converted, d.orders_of_unknown_status
    FROM (SELECT i.merchant_id, i.product_id, i.shop_currency,
                 CASE WHEN i.product_id IS NULL THEN i.sku END AS group_sku,
                 max(i.sku) AS sku,
                 max(i.name) AS name,
                 count(DISTINCT i.order_id) AS orders,
                 sum(i.quantity) AS quantity,
                 sum(CASE WHEN i.quantity < 0 THEN -abs(i.total_in_shop_currency)
                          ELSE i.total_in_shop_currency END) AS total,
                 min(i.riyadh_date) AS first_sold_on,
                 max(i.riyadh_date) AS last_sold_on,
                 string_agg(DISTINCT i.product_found_by, ', ' ORDER BY i.product_found_by)
                     AS product_found_by,
                 coalesce(-sum(i.quantity) FILTER (WHERE i.quantity < 0), 0) AS returned_quantity,
                 count(*) FILTER (WHERE i.total IS NULL) AS lines_without_total,
                 count(*) FILTER (WHERE i.total IS NOT NULL AND i.total_in_shop_currency IS NULL)
                     AS lines_not_converted,
                 count(DISTINCT i.order_id) FILTER (WHERE i.status_found_by IS NULL)
                     AS orders_of_unknown_status
          FROM salla.sale_items i
          GROUP BY i.merchant_id, i.product_id, i.shop_currency,
                   CASE WHEN i.product_id IS NULL THEN i.sku END,
                   CASE WHEN i.product_id IS NULL AND i.sku IS NULL THEN i.name END) d
    LEFT JOIN salla.products p ON p.merchant_id = d.merchant_id AND p.id = d.product_id;
COMMENT ON COLUMN salla.product_sales.total IS
    'Sum of the line totals, before discount and tax, each converted at the rate of its order. The total of a line with a negative quantity is subtracted, whichever sign Salla gives it. Null where none can be converted.';
