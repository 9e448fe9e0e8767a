"""Every statement of the service, once: all handlers and all drivers send these."""

from __future__ import annotations

PRODUCT = "SELECT id, title, unit_price FROM products WHERE id = :product_id"

PRODUCTS_AFTER = "SELECT id, title, unit_price FROM products WHERE id > :after ORDER BY id LIMIT :limit"

USER = "SELECT id, name FROM users WHERE id = :user_id"

SALES = """
SELECT o.status, COUNT(*) AS lines, COUNT(DISTINCT o.user_id) AS buyers,
       SUM(i.quantity) AS quantity, SUM(i.quantity * i.unit_price) AS revenue
FROM order_items i
JOIN orders o ON o.id = i.order_id
JOIN users u ON u.id = o.user_id
WHERE i.product_id = :product_id
GROUP BY o.status
ORDER BY o.status
"""

INSERT_ORDER = "INSERT INTO orders (user_id, status) VALUES (:user_id, :status) RETURNING id"

# The product's price at the time of the order, so that an item keeps what the buyer paid.
INSERT_ITEM = """
INSERT INTO order_items (order_id, product_id, quantity, unit_price)
VALUES (:order_id, :product_id, :quantity, :unit_price)
"""
