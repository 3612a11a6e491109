-- The loaded data. Keys are (merchant_id, Salla's id), because ids are unique only
-- within one resource of one shop. Nothing here refers to products or customers by
-- foreign key: a deleted product behind an old order is valid history.

CREATE SCHEMA IF NOT EXISTS salla;
COMMENT ON SCHEMA salla IS 'The shops'' data as Salla gives them: one row for each order, line item, customer, product.';

CREATE TABLE salla.orders (
    merchant_id        uuid NOT NULL,
    id                 bigint NOT NULL,
    reference_id       bigint,
    created_at         timestamptz NOT NULL,
    created_at_raw     text NOT NULL,
    created_at_reading text NOT NULL,
    riyadh_date        date NOT NULL GENERATED ALWAYS AS
                       (((created_at AT TIME ZONE 'UTC') + interval '3 hours')::date) STORED,
    updated_at         timestamptz,
    updated_at_raw     text,
    updated_at_reading text,
    status_id          bigint,
    status_slug        text,
    status_name        text,
    custom_status_id   bigint,
    custom_status_name text,
    payment_method     text,
    source             text,
    customer_id        bigint,
    currency           text,
    total              numeric,
    subtotal           numeric,
    shipping           numeric,
    cash_on_delivery   numeric,
    discount           numeric,
    tax_percent        numeric,
    tax_amount         numeric,
    exchange_rate      numeric,
    exchange_base_currency   text,
    exchange_target_currency text,
    has_amounts        boolean NOT NULL DEFAULT false,
    has_items          boolean NOT NULL DEFAULT false,
    PRIMARY KEY (merchant_id, id)
);
CREATE INDEX orders_by_day ON salla.orders (merchant_id, riyadh_date);
CREATE INDEX orders_by_customer ON salla.orders (merchant_id, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX orders_by_status ON salla.orders (merchant_id, status_slug);
COMMENT ON TABLE salla.orders IS 'One row for each order, whatever its status; see salla.sales for those that count as sales.';
COMMENT ON COLUMN salla.orders.id IS 'Salla''s id; not in the order of time.';
COMMENT ON COLUMN salla.orders.reference_id IS 'The order number that people see.';
COMMENT ON COLUMN salla.orders.created_at IS 'When the order was placed, as read from created_at_raw.';
COMMENT ON COLUMN salla.orders.created_at_raw IS 'The date as Salla sent it: some of its dates are UTC although they say Riyadh, so a wrong reading can be put right from here.';
COMMENT ON COLUMN salla.orders.created_at_reading IS 'How created_at_raw was understood: riyadh, named_zone, offset or epoch.';
COMMENT ON COLUMN salla.orders.riyadh_date IS 'The calendar day of created_at in Asia/Riyadh (UTC+3 all year).';
COMMENT ON COLUMN salla.orders.updated_at IS 'When Salla says the order last changed; lists do not tell.';
COMMENT ON COLUMN salla.orders.updated_at_raw IS 'The date as Salla sent it.';
COMMENT ON COLUMN salla.orders.updated_at_reading IS 'How updated_at_raw was understood.';
COMMENT ON COLUMN salla.orders.status_id IS 'Salla''s original status.';
COMMENT ON COLUMN salla.orders.status_slug IS 'Salla''s original status by name, for example completed or canceled; the same in all shops.';
COMMENT ON COLUMN salla.orders.status_name IS 'The status as people read it, usually Arabic.';
COMMENT ON COLUMN salla.orders.custom_status_id IS 'The shop''s own status below the original one.';
COMMENT ON COLUMN salla.orders.custom_status_name IS 'The name the shop gave its own status.';
COMMENT ON COLUMN salla.orders.payment_method IS 'An open list of names; the state of the payment is not in the order.';
COMMENT ON COLUMN salla.orders.source IS 'Where the order was placed.';
COMMENT ON COLUMN salla.orders.customer_id IS 'Null for a guest, or while details are lacking. The customer may have been deleted.';
COMMENT ON COLUMN salla.orders.currency IS 'The currency of all amounts of the order.';
COMMENT ON COLUMN salla.orders.total IS 'What the customer pays, as Salla gives it.';
COMMENT ON COLUMN salla.orders.subtotal IS 'The items before discount and tax. The parts are stored as given and need not add up to the total.';
COMMENT ON COLUMN salla.orders.shipping IS 'The cost of shipping.';
COMMENT ON COLUMN salla.orders.cash_on_delivery IS 'The fee for paying on delivery.';
COMMENT ON COLUMN salla.orders.discount IS 'The sum of the discounts, see order_discounts.';
COMMENT ON COLUMN salla.orders.tax_amount IS 'The tax on items and shipping.';
COMMENT ON COLUMN salla.orders.exchange_rate IS 'Where the order is in another currency than the shop.';
COMMENT ON COLUMN salla.orders.exchange_base_currency IS 'The currency that the rate converts from.';
COMMENT ON COLUMN salla.orders.exchange_target_currency IS 'The currency that the rate converts to.';
COMMENT ON COLUMN salla.orders.has_amounts IS 'Whether Salla has told the parts of the total; false while only the list has been read.';
COMMENT ON COLUMN salla.orders.has_items IS 'Whether order_items holds all line items of the order.';

CREATE TABLE salla.order_items (
    merchant_id uuid NOT NULL,
    order_id    bigint NOT NULL,
    id          bigint NOT NULL,
    position    integer NOT NULL,
    product_id  bigint,
    sku         text,
    name        text NOT NULL,
    quantity    numeric NOT NULL,
    unit_price  numeric,
    discount    numeric,
    tax_percent numeric,
    tax_amount  numeric,
    total       numeric,
    currency    text,
    PRIMARY KEY (merchant_id, order_id, id)
);
COMMENT ON TABLE salla.order_items IS 'The line items of the orders that have has_items.';
COMMENT ON COLUMN salla.order_items.position IS 'From 1, in the order in which Salla lists them.';
COMMENT ON COLUMN salla.order_items.product_id IS 'Null where Salla does not tell; the product may have been deleted.';
COMMENT ON COLUMN salla.order_items.name IS 'The name of the product when it was sold.';
COMMENT ON COLUMN salla.order_items.unit_price IS 'The price of one piece before tax and discount.';
COMMENT ON COLUMN salla.order_items.discount IS 'The discount on the line.';
COMMENT ON COLUMN salla.order_items.tax_amount IS 'The tax on the line.';
COMMENT ON COLUMN salla.order_items.total IS 'As Salla gives it: usually unit_price times quantity, before discount and tax.';

CREATE TABLE salla.order_discounts (
    merchant_id     uuid NOT NULL,
    order_id        bigint NOT NULL,
    position        integer NOT NULL,
    title           text,
    kind            text,
    code            text,
    amount          numeric,
    shipping_amount numeric,
    PRIMARY KEY (merchant_id, order_id, position)
);
COMMENT ON TABLE salla.order_discounts IS 'The discounts of the orders that have has_amounts.';
COMMENT ON COLUMN salla.order_discounts.position IS 'From 1, in the order in which Salla lists them.';
COMMENT ON COLUMN salla.order_discounts.kind IS 'Salla''s type of the discount.';
COMMENT ON COLUMN salla.order_discounts.code IS 'The coupon.';
COMMENT ON COLUMN salla.order_discounts.amount IS 'The discount on the order.';
COMMENT ON COLUMN salla.order_discounts.shipping_amount IS 'The discount on its shipping.';

CREATE TABLE salla.order_statuses (
    merchant_id uuid NOT NULL,
    id          bigint NOT NULL,
    name        text,
    slug        text,
    kind        text,
    original_id bigint,
    parent_id   bigint,
    PRIMARY KEY (merchant_id, id)
);
COMMENT ON TABLE salla.order_statuses IS 'The statuses that a shop''s orders can have: Salla''s original ones and the shop''s own.';
COMMENT ON COLUMN salla.order_statuses.name IS 'As people read it, usually Arabic.';
COMMENT ON COLUMN salla.order_statuses.slug IS 'Name of the original status, the same in all shops.';
COMMENT ON COLUMN salla.order_statuses.kind IS 'original or custom.';
COMMENT ON COLUMN salla.order_statuses.original_id IS 'The original status behind a custom one.';
COMMENT ON COLUMN salla.order_statuses.parent_id IS 'The status above this one, if any.';
