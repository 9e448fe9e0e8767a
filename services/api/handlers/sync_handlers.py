"""The six endpoints with every wait blocking. Twin of ``async_handlers``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from services.api import sql
from services.api.db.choose import AnySyncStatements
from services.api.handlers.shop import InSyncShop, answer, as_product, as_sales_line, found, money
from services.api.models import (
    After,
    Basket,
    Key,
    Limit,
    Order,
    PathId,
    Product,
    ProductPage,
    Quote,
    Receipt,
    Sales,
)

router = APIRouter()


@router.get("/products/{product_id}", response_model=Product)
def read_product(product_id: PathId, shop: InSyncShop) -> Response:
    """Light read: one row by its key."""
    with shop.unit() as unit, unit.statements() as db:
        row = found(db.one(sql.PRODUCT, {"product_id": product_id}), "product", product_id)
    return answer(as_product(row))


@router.get("/products", response_model=ProductPage)
def list_products(shop: InSyncShop, after: After = 0, limit: Limit = 20) -> Response:
    """Paged list: the products after an id."""
    with shop.unit() as unit, unit.statements() as db:
        rows = db.all(sql.PRODUCTS_AFTER, {"after": after, "limit": limit})
    return answer(
        ProductPage(
            items=[as_product(row) for row in rows], next_after=rows[-1]["id"] if len(rows) == limit else None
        )
    )


@router.get("/products/{product_id}/sales", response_model=Sales)
def product_sales(product_id: PathId, shop: InSyncShop) -> Response:
    """DB-bound join with aggregation: what a product sold, by order status."""
    with shop.unit() as unit, unit.statements() as db:
        found(db.one(sql.PRODUCT, {"product_id": product_id}), "product", product_id)
        rows = db.all(sql.SALES, {"product_id": product_id})
    return answer(Sales(product_id=product_id, by_status=[as_sales_line(row) for row in rows]))


@router.post("/orders", status_code=201, response_model=Order)
def create_order(basket: Basket, shop: InSyncShop) -> Response:
    """Write: an order and its items in one transaction."""
    with shop.unit() as unit:
        with unit.statements() as db:
            lines = price_basket(db, basket)
        with unit.statements(write=True) as db:
            order = insert_order(db, basket.user_id, lines, "pending")
    return answer(order, 201)


@router.get("/products/{product_id}/quote", response_model=Quote)
def quote_product(product_id: PathId, key: Key, shop: InSyncShop) -> Response:
    """Read that calls the upstream: a product's price, adjusted by a slow third party."""
    with shop.unit() as unit:
        with unit.statements() as db:
            row = found(db.one(sql.PRODUCT, {"product_id": product_id}), "product", product_id)
        reply = shop.upstream.fetch(key)
    return answer(
        Quote(
            product_id=product_id,
            unit_price=money(row["unit_price"]),
            quoted_price=money(float(row["unit_price"]) * reply.factor),
            upstream_delay_ms=reply.delay_ms,
        )
    )


@router.post("/checkout", status_code=201, response_model=Receipt)
def checkout(basket: Basket, key: Key, shop: InSyncShop) -> Response:
    """Write that calls the upstream: the buyer is read, a slow payment authorised, the order written."""
    with shop.unit() as unit:
        with unit.statements() as db:
            lines = price_basket(db, basket)
        reply = shop.upstream.fetch(key)
        with unit.statements(write=True) as db:
            order = insert_order(db, basket.user_id, lines, "paid")
    return answer(Receipt(**order.model_dump(), upstream_delay_ms=reply.delay_ms), 201)


def price_basket(db: AnySyncStatements, basket: Basket) -> list[dict[str, Any]]:
    """The basket's lines with today's prices. Raises NotFoundError for a user or product not there."""
    found(db.one(sql.USER, {"user_id": basket.user_id}), "user", basket.user_id)
    lines = []
    for item in basket.items:
        row = found(db.one(sql.PRODUCT, {"product_id": item.product_id}), "product", item.product_id)
        lines.append(
            {"product_id": item.product_id, "quantity": item.quantity, "unit_price": row["unit_price"]}
        )
    return lines


def insert_order(db: AnySyncStatements, user_id: int, lines: list[dict[str, Any]], status: str) -> Order:
    """The order and its items: two statements, so that the database's write lock is held only briefly."""
    order = db.one(sql.INSERT_ORDER, {"user_id": user_id, "status": status})
    order_id = found(order, "order", 0)["id"]
    db.many(sql.INSERT_ITEM, [{"order_id": order_id, **line} for line in lines])
    total = sum(line["quantity"] * float(line["unit_price"]) for line in lines)
    return Order(order_id=order_id, status=status, total=money(total))
