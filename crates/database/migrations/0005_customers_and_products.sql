-- Customers, products and categories are imported whole, whatever the months: a
-- report about old orders needs them, and Salla cannot list them by date.

CREATE TABLE salla.customers (
    merchant_id        uuid NOT NULL,
    id                 bigint NOT NULL,
    first_name         text,
    last_name          text,
    email              text,
    mobile             text,
    mobile_code        text,
    gender             text,
    birthday           date,
    city               text,
    country            text,
    country_code       text,
    currency           text,
    created_at         timestamptz,
    created_at_raw     text,
    created_at_reading text,
    updated_at         timestamptz,
    updated_at_raw     text,
    updated_at_reading text,
    from_list          boolean NOT NULL,
    PRIMARY KEY (merchant_id, id)
);
COMMENT ON TABLE salla.customers IS
    'The customers of a shop: those in its list, and those known only from an order. A row from an order is written once, where there is none yet; the list''s row takes its place and always wins.';
COMMENT ON COLUMN salla.customers.email IS 'Some are made up by the shop software for orders without one.';
COMMENT ON COLUMN salla.customers.mobile IS 'Digits without country code, as Salla keeps them.';
COMMENT ON COLUMN salla.customers.mobile_code IS 'Country code, with or without plus, as sent.';
COMMENT ON COLUMN salla.customers.country IS 'As people read it; may be in two languages.';
COMMENT ON COLUMN salla.customers.created_at IS 'When the customer was registered, as read from created_at_raw; often untold.';
COMMENT ON COLUMN salla.customers.created_at_raw IS 'The date as Salla sent it.';
COMMENT ON COLUMN salla.customers.created_at_reading IS 'How created_at_raw was understood: riyadh, named_zone, offset or epoch.';
COMMENT ON COLUMN salla.customers.updated_at IS 'When Salla says the customer last changed.';
COMMENT ON COLUMN salla.customers.updated_at_raw IS 'The date as Salla sent it.';
COMMENT ON COLUMN salla.customers.updated_at_reading IS 'How updated_at_raw was understood.';
COMMENT ON COLUMN salla.customers.from_list IS 'False where the customer is known only from an order.';

CREATE TABLE salla.products (
    merchant_id        uuid NOT NULL,
    id                 bigint NOT NULL,
    sku                text,
    name               text,
    kind               text,
    status             text,
    currency           text,
    price              numeric,
    regular_price      numeric,
    sale_price         numeric,
    cost_price         numeric,
    quantity           numeric,
    unlimited_quantity boolean,
    sold_quantity      numeric,
    is_available       boolean,
    weight             numeric,
    weight_unit        text,
    brand_id           bigint,
    brand_name         text,
    url                text,
    updated_at         timestamptz,
    updated_at_raw     text,
    updated_at_reading text,
    PRIMARY KEY (merchant_id, id)
);
CREATE INDEX products_by_sku ON salla.products (merchant_id, sku) WHERE sku IS NOT NULL;
COMMENT ON TABLE salla.products IS 'The products that a shop has now; old orders may name others.';
COMMENT ON COLUMN salla.products.kind IS 'Salla''s type: product, service, group_products, codes, digital, food, donating, booking.';
COMMENT ON COLUMN salla.products.status IS 'sale, out, hidden or deleted.';
COMMENT ON COLUMN salla.products.currency IS 'The currency of all prices.';
COMMENT ON COLUMN salla.products.price IS 'The price as the shop shows it.';
COMMENT ON COLUMN salla.products.regular_price IS 'The price before an offer.';
COMMENT ON COLUMN salla.products.sale_price IS 'The price during an offer.';
COMMENT ON COLUMN salla.products.cost_price IS 'What the product costs the merchant.';
COMMENT ON COLUMN salla.products.quantity IS 'Pieces in stock; meaningless where unlimited_quantity is set.';
COMMENT ON COLUMN salla.products.unlimited_quantity IS 'Stock is not counted.';
COMMENT ON COLUMN salla.products.sold_quantity IS 'Pieces sold so far, as Salla counts them.';
COMMENT ON COLUMN salla.products.is_available IS 'Whether it can be bought now.';
COMMENT ON COLUMN salla.products.weight_unit IS 'kg, g, lb or oz.';
COMMENT ON COLUMN salla.products.updated_at IS 'When Salla says the product last changed. Salla gives no date of creation.';
COMMENT ON COLUMN salla.products.updated_at_raw IS 'The date as Salla sent it.';
COMMENT ON COLUMN salla.products.updated_at_reading IS 'How updated_at_raw was understood.';

CREATE TABLE salla.product_variants (
    merchant_id        uuid NOT NULL,
    product_id         bigint NOT NULL,
    id                 bigint NOT NULL,
    position           integer NOT NULL,
    sku                text,
    barcode            text,
    currency           text,
    price              numeric,
    regular_price      numeric,
    sale_price         numeric,
    cost_price         numeric,
    stock_quantity     numeric,
    unlimited_quantity boolean,
    option_value_ids   bigint[] NOT NULL,
    PRIMARY KEY (merchant_id, product_id, id)
);
COMMENT ON TABLE salla.product_variants IS 'The variants of each product, which Salla calls SKUs.';
COMMENT ON COLUMN salla.product_variants.position IS 'From 1, in the order in which Salla lists them.';
COMMENT ON COLUMN salla.product_variants.currency IS 'The currency of all prices.';
COMMENT ON COLUMN salla.product_variants.price IS 'The price as the shop shows it.';
COMMENT ON COLUMN salla.product_variants.regular_price IS 'The price before an offer.';
COMMENT ON COLUMN salla.product_variants.sale_price IS 'The price during an offer.';
COMMENT ON COLUMN salla.product_variants.cost_price IS 'What the variant costs the merchant.';
COMMENT ON COLUMN salla.product_variants.stock_quantity IS 'Pieces in stock; meaningless where unlimited_quantity is set.';
COMMENT ON COLUMN salla.product_variants.unlimited_quantity IS 'Stock is not counted.';
COMMENT ON COLUMN salla.product_variants.option_value_ids IS 'The chosen values of the product''s options; they may name options that no longer exist.';

CREATE TABLE salla.product_categories (
    merchant_id uuid NOT NULL,
    product_id  bigint NOT NULL,
    category_id bigint NOT NULL,
    PRIMARY KEY (merchant_id, product_id, category_id)
);
CREATE INDEX product_categories_by_category ON salla.product_categories (merchant_id, category_id);
COMMENT ON TABLE salla.product_categories IS 'In which categories each product is.';

CREATE TABLE salla.categories (
    merchant_id        uuid NOT NULL,
    id                 bigint NOT NULL,
    name               text,
    parent_id          bigint,
    status             text,
    sort_order         bigint,
    updated_at         timestamptz,
    updated_at_raw     text,
    updated_at_reading text,
    PRIMARY KEY (merchant_id, id)
);
COMMENT ON TABLE salla.categories IS 'The categories of a shop, a tree.';
COMMENT ON COLUMN salla.categories.parent_id IS 'Null at the root.';
COMMENT ON COLUMN salla.categories.status IS 'active or hidden.';
COMMENT ON COLUMN salla.categories.sort_order IS 'The place among its siblings.';
COMMENT ON COLUMN salla.categories.updated_at IS 'When Salla says the category last changed.';
COMMENT ON COLUMN salla.categories.updated_at_raw IS 'The date as Salla sent it.';
COMMENT ON COLUMN salla.categories.updated_at_reading IS 'How updated_at_raw was understood.';
