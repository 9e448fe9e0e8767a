"""The published seed, rewritten: the same steps in the same order, with their costs and their faults.

Keys and indexes exist before the rows, ids are given explicitly to three of the four tables, values are
``random()`` and times relative to ``now()``. Two faults are reproduced, not corrected: the sequences stay at
1 where ids are explicit, and items refer only to the first fifth of the orders.
Source: load-test-sync-vs-async, its schema and seed.
"""

from __future__ import annotations

from vcpu_ladder.data.words import WORDS
from vcpu_ladder.ladder.scale import FULL_ROWS, STATUSES

SCHEMA = (
    "DROP TABLE IF EXISTS order_items",
    "DROP TABLE IF EXISTS orders",
    "DROP TABLE IF EXISTS products",
    "DROP TABLE IF EXISTS users",
    "CREATE TABLE users (id bigserial PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE,"
    " created_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE products (id bigserial PRIMARY KEY, title text NOT NULL, unit_price numeric(10,2) NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE orders (id bigserial PRIMARY KEY, user_id bigint NOT NULL, status text NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now(),"
    " CONSTRAINT fk_orders_user FOREIGN KEY (user_id) REFERENCES users (id))",
    "CREATE TABLE order_items (id bigserial PRIMARY KEY, order_id bigint NOT NULL,"
    " product_id bigint NOT NULL, quantity integer NOT NULL CHECK (quantity > 0),"
    " unit_price numeric(10,2) NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),"
    " CONSTRAINT fk_order_items_order FOREIGN KEY (order_id) REFERENCES orders (id),"
    " CONSTRAINT fk_order_items_product FOREIGN KEY (product_id) REFERENCES products (id))",
    "CREATE INDEX idx_orders_user_id ON orders (user_id)",
    "CREATE INDEX idx_order_items_order_id ON order_items (order_id)",
    "CREATE INDEX idx_order_items_product_id ON order_items (product_id)",
    "CREATE INDEX idx_order_items_order_product ON order_items (order_id, product_id)",
)

_AT = "now() - random() * interval '365 days'"
_WORD = "chosen.words[floor(random() * array_length(chosen.words, 1))::int + 1]"


def inserts(scale: float) -> dict[str, str]:
    """{table: its INSERT}, in the published order, for a share of the published row counts."""
    rows = {table: max(5, round(full * scale)) for table, full in FULL_ROWS.items()}
    words, statuses = (", ".join(f"'{text}'" for text in texts) for texts in (WORDS, STATUSES))
    return {
        "users": "INSERT INTO users (id, name, email, created_at)"
        f" SELECT n, 'user_' || n, 'user_' || n || '@example.com', {_AT}"
        f" FROM generate_series(1, {rows['users']}) n",
        "products": f"WITH chosen AS (SELECT ARRAY[{words}] AS words)"
        " INSERT INTO products (title, unit_price, created_at)"
        f" SELECT {_WORD} || ' ' || {_WORD} || ' ' || {_WORD}, round((random() * 500)::numeric, 2), {_AT}"
        f" FROM generate_series(1, {rows['products']}) CROSS JOIN chosen",
        "orders": "INSERT INTO orders (id, user_id, status, created_at)"
        f" SELECT n, floor(random() * {rows['users']})::bigint + 1,"
        f" (ARRAY[{statuses}])[floor(random() * 4)::int + 1], {_AT}"
        f" FROM generate_series(1, {rows['orders']}) n",
        "order_items": "WITH drawn AS (SELECT n AS id,"
        f" floor(random() * {rows['orders'] // 5})::bigint + 1 AS order_id,"
        f" floor(random() * {rows['products']})::bigint + 1 AS product_id,"
        " floor(random() * 5)::int + 1 AS quantity"
        f" FROM generate_series(1, {rows['order_items']}) n)"
        " INSERT INTO order_items (id, order_id, product_id, quantity, unit_price, created_at)"
        f" SELECT drawn.id, order_id, product_id, quantity, products.unit_price, {_AT}"
        " FROM drawn JOIN products ON products.id = drawn.product_id",
    }
