"""The six endpoints with every wait awaited. Twin of ``sync_handlers``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from services.api import sql
from services.api.db.choose import AnyAsyncStatements
from services.api.handlers.shop import InAsyncShop, answer, as_product, as_sales_line, found, money
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
async def read_product(product_id: PathId, shop: InAsyncShop) -> Response:
    """Light read: one row by its key."""
    async with shop.unit() as unit, unit.statements() as db:
        row = found(await db.one(sql.PRODUCT, {"product_id": product_id}), "product", product_id)
    return answer(as_product(row))


@router.get("/products", response_model=ProductPage)
async def list_products(shop: InAsyncShop, after: After = 0, limit: Limit = 20) -> Response:
    """Paged list: the products after an id."""
    async with shop.unit() as unit, unit.statements() as db:
        rows = await db.all(sql.PRODUCTS_AFTER, {"after": after, "limit": limit})
    return answer(
        ProductPage(
            items=[as_product(row) for row in rows], next_after=rows[-1]["id"] if len(rows) == limit else None
        )
    )


@router.get("/products/{product_id}/sales", response_model=Sales)
async def product_sales(product_id: PathId, shop: InAsyncShop) -> Response:
    """DB-bound join with aggregation: what a product sold, by order status."""
    async with shop.unit() as unit, unit.statements() as db:
        found(await db.one(sql.PRODUCT, {"product_id": product_id}), "product", product_id)
        rows = await db.all(sql.SALES, {"product_id": product_id})
    return answer(Sales(product_id=product_id, by_status=[as_sales_line(row) for row in rows]))


@router.post("/orders", status_code=201, response_model=Order)
async def create_order(basket: Basket, shop: InAsyncShop) -> Response:
    """Write: an order and its items in one transaction."""
    async with shop.unit() as unit:
        async with unit.statements() as db:
            lines = await price_basket(db, basket)
        async with unit.statements(write=True) as db:
            order = await insert_order(db, basket.user_id, lines, "pending")
    return answer(order, 201)


@router.get("/products/{product_id}/quote", response_model=Quote)
async def quote_product(product_id: PathId, key: Key, shop: InAsyncShop) -> Response:
    """Read that calls the upstream: a product's price, adjusted by a slow third party."""
    async with shop.unit() as unit:
        async with unit.statements() as db:
            row = found(await db.one(sql.PRODUCT, {"product_id": product_id}), "product", product_id)
        reply = await shop.upstream.fetch(key)
    return answer(
        Quote(
            product_id=product_id,
            unit_price=money(row["unit_price"]),
            quoted_price=money(float(row["unit_price"]) * reply.factor),
            upstream_delay_ms=reply.delay_ms,
        )
    )


@router.post("/checkout", status_code=201, response_model=Receipt)
async def checkout(basket: Basket, key: Key, shop: InAsyncShop) -> Response:
    """Write that calls the upstream: the buyer is read, a slow payment authorised, the order written."""
    async with shop.unit() as unit:
        async with unit.statements() as db:
            lines = await price_basket(db, basket)
        reply = await shop.upstream.fetch(key)
        async with unit.statements(write=True) as db:
            order = await insert_order(db, basket.user_id, lines, "paid")
    return answer(Receipt(**order.model_dump(), upstream_delay_ms=reply.delay_ms), 201)


async def price_basket(db: AnyAsyncStatements, basket: Basket) -> list[dict[str, Any]]:
    """The basket's lines with today's prices. Raises NotFoundError for a user or product not there."""
    found(await db.one(sql.USER, {"user_id": basket.user_id}), "user", basket.user_id)
    lines = []
    for item in basket.items:
        row = found(await db.one(sql.PRODUCT, {"product_id": item.product_id}), "product", item.product_id)
        lines.append(
            {"product_id": item.product_id, "quantity": item.quantity, "unit_price": row["unit_price"]}
        )
    return lines


async def insert_order(
    db: AnyAsyncStatements, user_id: int, lines: list[dict[str, Any]], status: str
) -> Order:
    """The order and its items: two statements, so that the database's write lock is held only briefly."""
    order = await db.one(sql.INSERT_ORDER, {"user_id": user_id, "status": status})
    order_id = found(order, "order", 0)["id"]
    await db.many(sql.INSERT_ITEM, [{"order_id": order_id, **line} for line in lines])
    total = sum(line["quantity"] * float(line["unit_price"]) for line in lines)
    return Order(order_id=order_id, status=status, total=money(total))
