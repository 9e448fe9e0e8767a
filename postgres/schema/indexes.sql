-- Every index, also those that keys.sql turns into keys: CREATE INDEX locks out writers only, so several
-- of them can build on one table at once, which ALTER TABLE ... ADD PRIMARY KEY cannot.
-- idx_order_items_order_id is a prefix of idx_order_items_order_product; it is kept because it is published.
-- In this order because the foreign keys of order_items, checked one after the other at the end, wait for
-- these indexes; those of the smaller tables then keep a second session busy.

CREATE UNIQUE INDEX products_pkey ON products (id);
CREATE UNIQUE INDEX orders_pkey ON orders (id);

CREATE INDEX idx_order_items_order_product ON order_items (order_id, product_id);
CREATE INDEX idx_order_items_order_id ON order_items (order_id);
CREATE INDEX idx_order_items_product_id ON order_items (product_id);
CREATE UNIQUE INDEX order_items_pkey ON order_items (id);

CREATE INDEX idx_orders_user_id ON orders (user_id);
CREATE UNIQUE INDEX users_email_key ON users (email);
CREATE UNIQUE INDEX users_pkey ON users (id);
