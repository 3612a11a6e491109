-- The obvious query has to be right: a sale is decided by the status wherever Salla gives it,
-- a product is one group, and no sum mixes currencies or takes what is missing for 0.
-- The views keep their columns and get more.

-- Money.

CREATE OR REPLACE FUNCTION salla.currency_digits(currency text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
        WHEN currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF',
                          'UGX', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') THEN 0
        ELSE 2 END;
COMMENT ON FUNCTION salla.currency_digits IS
    'How many digits after the point an amount of the currency has, by ISO 4217.';

CREATE OR REPLACE FUNCTION salla.with_digits(amount numeric, currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN round(amount, greatest(salla.currency_digits(currency), min_scale(amount)));
COMMENT ON FUNCTION salla.with_digits IS
    'The amount with its currency''s digits; more where it has more, so that nothing is cut.';

CREATE OR REPLACE FUNCTION salla.shop_currency(merchant uuid) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    RETURN (SELECT m.currency FROM salla_sync.merchants m WHERE m.id = merchant);
COMMENT ON FUNCTION salla.shop_currency IS
    'The currency of one shop. Readers of the views need it and have no access to salla_sync.';

CREATE OR REPLACE FUNCTION salla.in_shop_currency(
        amount numeric, currency text, shop_currency text,
        rate numeric, rate_base text, rate_target text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN currency = shop_currency THEN amount
        WHEN rate IS NULL OR rate <= 0 THEN NULL
        WHEN rate_base = shop_currency AND coalesce(rate_target, currency) = coalesce(currency, rate_target)
            THEN round(amount / rate, salla.currency_digits(shop_currency))
        WHEN rate_base = currency AND rate_target = shop_currency
            THEN round(amount * rate, salla.currency_digits(shop_currency)) END;
COMMENT ON FUNCTION salla.in_shop_currency IS
    'The amount in the shop''s currency, at the rate that the order was taken at; null where Salla gives no rate.';

-- Statuses.

CREATE OR REPLACE FUNCTION salla.known_status(slug text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN slug IN ('payment_pending', 'under_review', 'in_progress', 'completed', 'delivering',
                      'delivered', 'shipped', 'canceled', 'restored', 'restoring') THEN slug
        WHEN slug = 'cancelled' THEN 'canceled' END;
COMMENT ON FUNCTION salla.known_status IS 'The slug if it is one of Salla''s original statuses, else null.';

CREATE OR REPLACE FUNCTION salla.original_status(id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE id
        WHEN 1473353380 THEN 'payment_pending'
        WHEN 566146469 THEN 'under_review'
        WHEN 1939592358 THEN 'in_progress'
        WHEN 1298199463 THEN 'completed'
        WHEN 349994915 THEN 'delivering'
        WHEN 1723506348 THEN 'delivered'
        WHEN 814202285 THEN 'shipped'
        WHEN 525144736 THEN 'canceled'
        WHEN 989286562 THEN 'restored'
        WHEN 1548352431 THEN 'restoring' END;
COMMENT ON FUNCTION salla.original_status IS
    'Salla''s original status with this id, which is the same in all shops; null for another id.';

-- In PL/pgSQL, which keeps its plans: a shop whose orders all lack their slug has many of them.
CREATE OR REPLACE FUNCTION salla.status_by_id(merchant uuid, status bigint, steps integer DEFAULT 4)
    RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    known salla.order_statuses;
BEGIN
    IF salla.original_status(status) IS NOT NULL THEN
        RETURN salla.original_status(status);
    END IF;
    SELECT * INTO known FROM salla.order_statuses s WHERE s.merchant_id = merchant AND s.id = status;
    RETURN coalesce(
        salla.known_status(known.slug),
        CASE WHEN steps > 0 AND known.original_id IS NOT NULL
             THEN salla.status_by_id(merchant, known.original_id, steps - 1) END,
        CASE WHEN steps > 0 AND known.parent_id IS NOT NULL
             THEN salla.status_by_id(merchant, known.parent_id, steps - 1) END);
END $$;
COMMENT ON FUNCTION salla.status_by_id IS
    'The original status behind a status of the shop: its own slug, else that of its original, else that of its parent; null where none of them tells it.';

CREATE OR REPLACE FUNCTION salla.status_by_name(merchant uuid, status text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT CASE WHEN count(*) = count(named.slug) AND min(named.slug) = max(named.slug)
                    THEN min(named.slug) END
        FROM (SELECT salla.status_by_id(merchant, s.id) AS slug FROM salla.order_statuses s
              WHERE s.merchant_id = merchant AND btrim(s.name) = btrim(status) OFFSET 0) named);
END $$;
COMMENT ON FUNCTION salla.status_by_name IS
    'The original status behind all statuses of the shop that have this name; null where they differ.';

-- Orders and their lines.

CREATE VIEW salla.all_orders WITH (security_invoker = true) AS
    SELECT o.merchant_id, o.id, o.reference_id, o.created_at, o.created_at_raw,
           o.created_at_reading, o.riyadh_date, o.updated_at, o.updated_at_raw,
           o.updated_at_reading, o.status_id, o.status_slug, o.status_name, o.custom_status_id,
           o.custom_status_name, o.payment_method, o.source, o.customer_id, o.currency, o.total,
           o.subtotal, o.shipping, o.cash_on_delivery, o.discount, o.tax_percent, o.tax_amount,
           o.exchange_rate, o.exchange_base_currency, o.exchange_target_currency, o.has_amounts,
           o.has_items,
           coalesce(n.slug, n.by_id, n.by_custom, n.by_name, o.status_slug) AS status,
           CASE WHEN n.slug IS NOT NULL THEN 'slug'
                WHEN n.by_id IS NOT NULL THEN 'id'
                WHEN n.by_custom IS NOT NULL THEN 'custom_status'
                WHEN n.by_name IS NOT NULL THEN 'name' END AS status_found_by,
           c.currency AS shop_currency,
           salla.in_shop_currency(o.total, o.currency, c.currency, o.exchange_rate,
               o.exchange_base_currency, o.exchange_target_currency) AS total_in_shop_currency
    FROM salla.orders o
    CROSS JOIN LATERAL (SELECT salla.shop_currency(o.merchant_id) AS currency OFFSET 0) c
    -- Each step is evaluated once, and only where the ones before it found nothing.
    CROSS JOIN LATERAL (
        SELECT salla.known_status(o.status_slug) AS slug,
               CASE WHEN salla.known_status(o.status_slug) IS NULL
                    THEN coalesce(salla.original_status(o.status_id),
                                  salla.status_by_id(o.merchant_id, o.status_id)) END AS by_id
        OFFSET 0) i
    CROSS JOIN LATERAL (
        SELECT CASE WHEN coalesce(i.slug, i.by_id) IS NULL
                    THEN salla.status_by_id(o.merchant_id, o.custom_status_id) END AS by_custom
        OFFSET 0) m
    CROSS JOIN LATERAL (
        SELECT i.slug, i.by_id, m.by_custom,
               CASE WHEN coalesce(i.slug, i.by_id, m.by_custom) IS NULL
                    THEN coalesce(salla.status_by_name(o.merchant_id, o.status_name),
                                  salla.status_by_name(o.merchant_id, o.custom_status_name))
                    END AS by_name
        OFFSET 0) n;
COMMENT ON VIEW salla.all_orders IS
    'Every order, whatever its status, with the original status behind it and its total in the shop''s currency. The columns of salla.orders are there as they are.';
COMMENT ON COLUMN salla.all_orders.status IS
    'The original status: status_slug where it is one of Salla''s, else what status_found_by says. Another slug, which no original status has, stands here as it is.';
COMMENT ON COLUMN salla.all_orders.status_found_by IS
    'What the status was found by: slug; id, of the original status or of one in order_statuses; custom_status; name, where all statuses of the shop with that name mean the same. Null where nothing names one of Salla''s original statuses.';
COMMENT ON COLUMN salla.all_orders.shop_currency IS 'The currency of total_in_shop_currency.';
COMMENT ON COLUMN salla.all_orders.total_in_shop_currency IS
    'The total at the rate that Salla took the order at; null where there is no total, or no rate of another currency.';

CREATE OR REPLACE VIEW salla.sales WITH (security_invoker = true) AS
    SELECT *
    FROM salla.all_orders
    WHERE status IS NULL
       OR status NOT IN ('canceled', 'restored', 'restoring', 'payment_pending');
COMMENT ON VIEW salla.sales IS
    'Orders that count as sales: every order but those that are canceled, restored (given back), restoring or still waiting for payment, see the column status. An order whose status is known in no way counts; status_found_by is null there, and all other views count such orders. All other views use this definition.';

CREATE VIEW salla.sale_items WITH (security_invoker = true) AS
    WITH catalog AS (
        SELECT c.merchant_id, c.sku,
               CASE WHEN min(c.product_id) = max(c.product_id) THEN min(c.product_id) END AS product_id
        FROM (SELECT p.merchant_id, p.sku, p.id AS product_id FROM salla.products p
              UNION ALL
              SELECT v.merchant_id, v.sku, v.product_id FROM salla.product_variants v) c
        WHERE c.sku <> ''
        GROUP BY c.merchant_id, c.sku
    ), sold AS (
        SELECT l.merchant_id, l.sku, min(l.product_id) AS product_id
        FROM salla.order_items l
        WHERE l.sku <> '' AND l.product_id IS NOT NULL
        GROUP BY l.merchant_id, l.sku
        HAVING min(l.product_id) = max(l.product_id)
    )
    SELECT i.merchant_id, i.order_id, i.position, i.id, s.riyadh_date, s.customer_id,
           s.status, s.status_found_by,
           CASE WHEN i.product_id IS NOT NULL THEN i.product_id
                WHEN c.sku IS NOT NULL THEN c.product_id
                ELSE l.product_id END AS product_id,
           CASE WHEN i.product_id IS NOT NULL THEN 'id'
                WHEN c.product_id IS NOT NULL THEN 'sku'
                WHEN c.sku IS NULL AND l.product_id IS NOT NULL THEN 'sku_of_other_lines'
                END AS product_found_by,
           nullif(i.sku, '') AS sku, i.name, i.quantity,
           coalesce(i.currency, s.currency) AS currency, i.total,
           s.shop_currency,
           salla.in_shop_currency(i.total, coalesce(i.currency, s.currency), s.shop_currency,
               s.exchange_rate, s.exchange_base_currency, s.exchange_target_currency)
               AS total_in_shop_currency
    FROM salla.order_items i
    JOIN salla.sales s ON s.merchant_id = i.merchant_id AND s.id = i.order_id
    LEFT JOIN catalog c ON i.product_id IS NULL AND c.merchant_id = i.merchant_id AND c.sku = i.sku
    LEFT JOIN sold l ON i.product_id IS NULL AND l.merchant_id = i.merchant_id AND l.sku = i.sku;
COMMENT ON VIEW salla.sale_items IS
    'The line items of the orders that count as sales (salla.sales), each with its product as far as it can be found.';
COMMENT ON COLUMN salla.sale_items.position IS 'The place of the line in its order, from 1.';
COMMENT ON COLUMN salla.sale_items.riyadh_date IS 'The day of the order.';
COMMENT ON COLUMN salla.sale_items.customer_id IS 'The customer of the order.';
COMMENT ON COLUMN salla.sale_items.status IS 'The original status of the order.';
COMMENT ON COLUMN salla.sale_items.status_found_by IS 'See all_orders.';
COMMENT ON COLUMN salla.sale_items.product_found_by IS
    'id, where the line names its product; sku, where one product or its variants alone have the line''s SKU now; sku_of_other_lines, where the catalog lacks the SKU and other lines with it name one product. Null where no product can be found.';
COMMENT ON COLUMN salla.sale_items.total IS 'As Salla gives it: usually unit_price times quantity, before discount and tax.';
COMMENT ON COLUMN salla.sale_items.shop_currency IS 'The currency of total_in_shop_currency.';
COMMENT ON COLUMN salla.sale_items.total_in_shop_currency IS
    'The total at the rate of the order; null where there is no total, or no rate of another currency.';

-- Sums.

CREATE OR REPLACE VIEW salla.daily_sales WITH (security_invoker = true) AS
    SELECT d.merchant_id, d.riyadh_date, d.shop_currency AS currency, d.orders,
           salla.with_digits(d.gross_total, d.shop_currency) AS gross_total,
           salla.with_digits(d.subtotal, d.shop_currency) AS subtotal,
           salla.with_digits(d.shipping, d.shop_currency) AS shipping,
           salla.with_digits(d.discount, d.shop_currency) AS discount,
           salla.with_digits(d.tax, d.shop_currency) AS tax,
           d.orders_without_amounts, d.orders_without_total, d.orders_not_converted,
           d.orders_of_unknown_status
    FROM (SELECT s.merchant_id, s.riyadh_date, s.shop_currency,
                 count(*) AS orders,
                 sum(s.total_in_shop_currency) AS gross_total,
                 sum(salla.in_shop_currency(s.subtotal, s.currency, s.shop_currency,
                     s.exchange_rate, s.exchange_base_currency, s.exchange_target_currency)) AS subtotal,
                 sum(salla.in_shop_currency(s.shipping, s.currency, s.shop_currency,
                     s.exchange_rate, s.exchange_base_currency, s.exchange_target_currency)) AS shipping,
                 sum(salla.in_shop_currency(s.discount, s.currency, s.shop_currency,
                     s.exchange_rate, s.exchange_base_currency, s.exchange_target_currency)) AS discount,
                 sum(salla.in_shop_currency(s.tax_amount, s.currency, s.shop_currency,
                     s.exchange_rate, s.exchange_base_currency, s.exchange_target_currency)) AS tax,
                 count(*) FILTER (WHERE NOT s.has_amounts) AS orders_without_amounts,
                 count(*) FILTER (WHERE s.total IS NULL) AS orders_without_total,
                 count(*) FILTER (WHERE s.total IS NOT NULL AND s.total_in_shop_currency IS NULL)
                     AS orders_not_converted,
                 count(*) FILTER (WHERE s.status_found_by IS NULL) AS orders_of_unknown_status
          FROM salla.sales s
          GROUP BY s.merchant_id, s.riyadh_date, s.shop_currency) d;
COMMENT ON VIEW salla.daily_sales IS
    'Sales by Riyadh day, one row for each, in the shop''s currency; see daily_sales_by_currency for the currencies that customers paid in. A sale is every order that is not canceled, restored, restoring or payment_pending, see salla.sales.';
COMMENT ON COLUMN salla.daily_sales.currency IS 'The shop''s currency, in which all amounts are.';
COMMENT ON COLUMN salla.daily_sales.gross_total IS
    'Sum of the order totals, tax and shipping included, each converted at the rate that Salla took the order at. Null where no order has a total that can be converted.';
COMMENT ON COLUMN salla.daily_sales.subtotal IS
    'Sum over the orders whose amounts are known and can be converted; so are shipping, discount and tax.';
COMMENT ON COLUMN salla.daily_sales.orders_without_total IS
    'Orders of which Salla gave no total; gross_total lacks them.';
COMMENT ON COLUMN salla.daily_sales.orders_not_converted IS
    'Orders in another currency of which Salla gave no exchange rate; all amounts lack them. daily_sales_by_currency has them.';
COMMENT ON COLUMN salla.daily_sales.orders_of_unknown_status IS
    'Orders that count as sales only because their status is known in no way.';

CREATE VIEW salla.daily_sales_by_currency WITH (security_invoker = true) AS
    SELECT d.merchant_id, d.riyadh_date, d.currency, d.orders,
           salla.with_digits(d.gross_total, d.currency) AS gross_total,
           salla.with_digits(d.subtotal, d.currency) AS subtotal,
           salla.with_digits(d.shipping, d.currency) AS shipping,
           salla.with_digits(d.discount, d.currency) AS discount,
           salla.with_digits(d.tax, d.currency) AS tax,
           d.shop_currency,
           salla.with_digits(d.gross_total_in_shop_currency, d.shop_currency)
               AS gross_total_in_shop_currency,
           d.orders_without_amounts, d.orders_without_total, d.orders_not_converted,
           d.orders_of_unknown_status
    FROM (SELECT s.merchant_id, s.riyadh_date, s.currency, s.shop_currency,
                 count(*) AS orders,
                 sum(s.total) AS gross_total,
                 sum(s.subtotal) AS subtotal,
                 sum(s.shipping) AS shipping,
                 sum(s.discount) AS discount,
                 sum(s.tax_amount) AS tax,
                 sum(s.total_in_shop_currency) AS gross_total_in_shop_currency,
                 count(*) FILTER (WHERE NOT s.has_amounts) AS orders_without_amounts,
                 count(*) FILTER (WHERE s.total IS NULL) AS orders_without_total,
                 count(*) FILTER (WHERE s.total IS NOT NULL AND s.total_in_shop_currency IS NULL)
                     AS orders_not_converted,
                 count(*) FILTER (WHERE s.status_found_by IS NULL) AS orders_of_unknown_status
          FROM salla.sales s
          GROUP BY s.merchant_id, s.riyadh_date, s.currency, s.shop_currency) d;
COMMENT ON VIEW salla.daily_sales_by_currency IS
    'Sales by Riyadh day and the currency of the order, in that currency: only rows of one currency may be added up. See daily_sales for one row a day in the shop''s currency.';
COMMENT ON COLUMN salla.daily_sales_by_currency.currency IS
    'The currency of the orders, in which all amounts are but gross_total_in_shop_currency.';
COMMENT ON COLUMN salla.daily_sales_by_currency.gross_total IS
    'Sum of the order totals, tax and shipping included; null where none has a total.';
COMMENT ON COLUMN salla.daily_sales_by_currency.subtotal IS
    'Sum over the orders whose amounts are known; so are shipping, discount and tax.';
COMMENT ON COLUMN salla.daily_sales_by_currency.shop_currency IS 'The currency of gross_total_in_shop_currency.';
COMMENT ON COLUMN salla.daily_sales_by_currency.gross_total_in_shop_currency IS
    'The sum of the order totals at the rate that Salla took each order at; it may be added up over all rows of a shop.';
COMMENT ON COLUMN salla.daily_sales_by_currency.orders_without_amounts IS
    'Orders whose details have not been read yet: while there are any, only orders and gross_total are complete.';
COMMENT ON COLUMN salla.daily_sales_by_currency.orders_without_total IS
    'Orders of which Salla gave no total; gross_total lacks them.';
COMMENT ON COLUMN salla.daily_sales_by_currency.orders_not_converted IS
    'Orders of which Salla gave no exchange rate; gross_total_in_shop_currency lacks them.';
COMMENT ON COLUMN salla.daily_sales_by_currency.orders_of_unknown_status IS
    'Orders that count as sales only because their status is known in no way.';

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
                 sum(i.total_in_shop_currency) AS total,
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
COMMENT ON VIEW salla.product_sales IS
    'What was sold of each product, one row for each, in the shop''s currency. The product is the one that the line names, else the one with its SKU; lines of which no product can be found are grouped by SKU, else by name. A sale is every order that is not canceled, restored, restoring or payment_pending, see salla.sales.';
COMMENT ON COLUMN salla.product_sales.product_id IS
    'Null where no product can be found: see product_found_by. The product may have been deleted.';
COMMENT ON COLUMN salla.product_sales.sku IS
    'The product''s own SKU, else one under which it was sold.';
COMMENT ON COLUMN salla.product_sales.currency IS 'The shop''s currency.';
COMMENT ON COLUMN salla.product_sales.quantity IS
    'Pieces sold less pieces returned.';
COMMENT ON COLUMN salla.product_sales.total IS
    'Sum of the line totals, before discount and tax, each converted at the rate of its order. Null where none can be converted.';
COMMENT ON COLUMN salla.product_sales.product_found_by IS
    'How the lines name the product: id; sku, which one product or its variants alone have now; sku_of_other_lines, where the product is gone from the catalog and other lines name it by id. Null where no product can be found.';
COMMENT ON COLUMN salla.product_sales.returned_quantity IS
    'Pieces on lines with a negative quantity, which quantity has subtracted.';
COMMENT ON COLUMN salla.product_sales.lines_without_total IS
    'Lines of which Salla gave no total; total lacks them.';
COMMENT ON COLUMN salla.product_sales.lines_not_converted IS
    'Lines in another currency whose order has no exchange rate; total lacks them.';
COMMENT ON COLUMN salla.product_sales.orders_of_unknown_status IS
    'Orders that count as sales only because their status is known in no way.';

CREATE OR REPLACE VIEW salla.customer_orders WITH (security_invoker = true) AS
    SELECT d.merchant_id, d.customer_id,
           nullif(concat_ws(' ', c.first_name, c.last_name), '') AS name,
           d.orders, d.orders - 1 AS repeat_orders,
           d.first_order_at, d.last_order_at, d.first_order_date, d.last_order_date,
           d.shop_currency AS currency,
           salla.with_digits(d.total, d.shop_currency) AS total,
           salla.with_digits(round(d.total / nullif(d.orders_with_total, 0),
                                   salla.currency_digits(d.shop_currency)), d.shop_currency)
               AS average_total,
           d.orders_without_total, d.orders_not_converted, d.orders_of_unknown_status
    FROM (SELECT s.merchant_id, s.customer_id, s.shop_currency,
                 count(*)           AS orders,
                 min(s.created_at)  AS first_order_at,
                 max(s.created_at)  AS last_order_at,
                 min(s.riyadh_date) AS first_order_date,
                 max(s.riyadh_date) AS last_order_date,
                 sum(s.total_in_shop_currency)   AS total,
                 count(s.total_in_shop_currency) AS orders_with_total,
                 count(*) FILTER (WHERE s.total IS NULL) AS orders_without_total,
                 count(*) FILTER (WHERE s.total IS NOT NULL AND s.total_in_shop_currency IS NULL)
                     AS orders_not_converted,
                 count(*) FILTER (WHERE s.status_found_by IS NULL) AS orders_of_unknown_status
          FROM salla.sales s
          WHERE s.customer_id IS NOT NULL
          GROUP BY s.merchant_id, s.customer_id, s.shop_currency) d
    LEFT JOIN salla.customers c ON c.merchant_id = d.merchant_id AND c.id = d.customer_id;
COMMENT ON VIEW salla.customer_orders IS
    'How often each customer bought, and for how much, within the imported months. A sale is every order that is not canceled, restored, restoring or payment_pending, see salla.sales.';
COMMENT ON COLUMN salla.customer_orders.currency IS 'The shop''s currency.';
COMMENT ON COLUMN salla.customer_orders.total IS
    'Sum of the order totals, tax and shipping included, each converted at the rate that Salla took the order at. Null where none can be converted.';
COMMENT ON COLUMN salla.customer_orders.average_total IS
    'total divided by the orders that are in it.';
COMMENT ON COLUMN salla.customer_orders.orders_without_total IS
    'Orders of which Salla gave no total; total and average_total lack them.';
COMMENT ON COLUMN salla.customer_orders.orders_not_converted IS
    'Orders in another currency of which Salla gave no exchange rate; total and average_total lack them.';
COMMENT ON COLUMN salla.customer_orders.orders_of_unknown_status IS
    'Orders that count as sales only because their status is known in no way.';

CREATE VIEW salla.shops WITH (security_invoker = true) AS
    SELECT m.id AS merchant_id, m.salla_id AS number, m.name, m.currency, m.plan, m.domain,
           r.imported_from, r.imported_to, r.data_as_of
    FROM salla_sync.merchants m
    LEFT JOIN (SELECT s.merchant_id,
                      min(s.range_from) AS imported_from,
                      max(s.range_to) AS imported_to,
                      max((s.certificate ->> 'as_of')::timestamptz) AS data_as_of
               FROM salla_sync.sync_runs s
               WHERE s.state = 'COMPLETED' AND s.only_resource IS NULL AND s.max_orders IS NULL
               GROUP BY s.merchant_id) r ON r.merchant_id = m.id;
COMMENT ON VIEW salla.shops IS
    'One row for each shop. Reading it takes USAGE on salla_sync and SELECT on a few columns there, see docs/deploy.md.';
COMMENT ON COLUMN salla.shops.number IS 'Salla''s number of the shop.';
COMMENT ON COLUMN salla.shops.plan IS 'The shop''s subscription.';
COMMENT ON COLUMN salla.shops.imported_from IS
    'First Riyadh day whose orders a finished import read; null before one is finished.';
COMMENT ON COLUMN salla.shops.imported_to IS 'Last Riyadh day of the latest finished import.';
COMMENT ON COLUMN salla.shops.data_as_of IS
    'The moment as of which the latest finished import is certified.';

-- A view reads with the rights of its reader, so whoever reads a view needs what it reads now.
DO $$
DECLARE
    reader text;
    needs record;
BEGIN
    FOR needs IN SELECT * FROM (VALUES
        ('salla.all_orders', 'salla.sales'),
        ('salla.order_statuses', 'salla.sales'),
        ('salla.daily_sales_by_currency', 'salla.daily_sales'),
        ('salla.sale_items', 'salla.product_sales'),
        ('salla.product_variants', 'salla.products')) AS n(relation, read_with)
    LOOP
        FOR reader IN
            SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
            FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = needs.read_with::regclass AND a.privilege_type = 'SELECT'
              AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('GRANT SELECT ON %s TO %s', needs.relation, reader);
        END LOOP;
    END LOOP;
END $$;
