-- The shop's four tables, bare: the seed loads them first, because keys and indexes built over loaded
-- rows take a fraction of the time that keeping them up to date row by row takes.
-- Order to apply: tables, indexes, keys, foreign_keys. One statement ends at each semicolon.

CREATE TABLE users (
    id         bigserial,
    name       text        NOT NULL,
    email      text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE products (
    id         bigserial,
    title      text           NOT NULL,
    unit_price numeric(10, 2) NOT NULL,
    created_at timestamptz    NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    id         bigserial,
    user_id    bigint      NOT NULL,
    status     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE order_items (
    id         bigserial,
    order_id   bigint         NOT NULL,
    product_id bigint         NOT NULL,
    quantity   integer        NOT NULL CHECK (quantity > 0),
    unit_price numeric(10, 2) NOT NULL, -- the product's price when it was ordered
    created_at timestamptz    NOT NULL DEFAULT now()
);
