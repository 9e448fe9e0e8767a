"""The simulation study: two queries in parallel, two polars frames, then a recursive Fibonacci number.

The study publishes the handlers and the schema, not the statements. Here the first statement sums what the
user bought, by product; the second lists every item of the user's orders.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
from fastapi import APIRouter
from psycopg import rows

from services.api.meter import Meter
from services.api.settings import Settings
from services.api.studies.pools import StudyPools
from services.api.studies.study import Study
from services.contract.endpoints import SIMULATION_USER

PRODUCTS_OF_USER = """
SELECT products.id, products.title, products.unit_price, sum(order_items.quantity) AS quantity
FROM orders
JOIN order_items ON order_items.order_id = orders.id
JOIN products ON products.id = order_items.product_id
WHERE orders.user_id = %(user_id)s
GROUP BY products.id
ORDER BY products.id
"""
ITEMS_OF_USER = """
SELECT orders.id AS order_id, orders.status, orders.created_at,
       order_items.product_id, order_items.quantity, order_items.unit_price
FROM orders
JOIN order_items ON order_items.order_id = orders.id
WHERE orders.user_id = %(user_id)s
ORDER BY orders.id, order_items.id
"""


def fibonacci(n: int) -> int:
    """The plain recursion: about 1.6 times the work for each further ``n``."""
    return max(n, 0) if n <= 1 else fibonacci(n - 1) + fibonacci(n - 2)


class Queries:
    """Both queries on both pools: the blocking and the awaiting methods are twins."""

    def __init__(self, pools: StudyPools, meter: Meter) -> None:
        self.blocking = pools.blocking
        self.awaiting = pools.awaiting
        self.meter = meter

    def frame(self, sql: str, user_id: int) -> pl.DataFrame:
        self.meter.statements += 1
        with self.blocking.connection() as connection, connection.cursor(row_factory=rows.dict_row) as cursor:
            cursor.execute(sql, {"user_id": user_id})
            found = cursor.fetchall()
        return pl.DataFrame(found)

    async def awaited_frame(self, sql: str, user_id: int) -> pl.DataFrame:
        self.meter.statements += 1
        async with (
            self.awaiting.connection() as connection,
            connection.cursor(row_factory=rows.dict_row) as cursor,
        ):
            await cursor.execute(sql, {"user_id": user_id})
            found = await cursor.fetchall()
        return pl.DataFrame(found)

    async def awaited_frames(self, user_id: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        return await asyncio.gather(
            self.awaited_frame(PRODUCTS_OF_USER, user_id), self.awaited_frame(ITEMS_OF_USER, user_id)
        )


def _answer(products: pl.DataFrame, items: pl.DataFrame, fib: int) -> dict[str, Any]:
    return {
        "total_qtd": int(items["quantity"].sum())
        if len(items)
        else 0,  # without rows the frame has no columns
        "fib": fib,
        "products": products.to_dict(as_series=False),
        "all_user_orders": items.to_dict(as_series=False),
    }


def make_study(settings: Settings, meter: Meter) -> Study:
    pools = StudyPools(settings, meter)
    queries = Queries(pools, meter)
    depth = settings.number("fib")
    router = APIRouter()

    @router.get("/sync_simulation", response_model=None)
    def sync_simulation(user_id: int = SIMULATION_USER) -> dict[str, Any]:
        # As in the study: a new executor for each request.
        with ThreadPoolExecutor(max_workers=2) as executor:
            products = executor.submit(queries.frame, PRODUCTS_OF_USER, user_id)
            items = executor.submit(queries.frame, ITEMS_OF_USER, user_id)
        return _answer(products.result(), items.result(), fibonacci(depth))

    @router.get("/async_simulation", response_model=None)
    async def async_simulation(user_id: int = SIMULATION_USER) -> dict[str, Any]:
        products, items = await queries.awaited_frames(user_id)
        return _answer(products, items, fibonacci(depth))

    @router.get("/async_simulation_to_thread", response_model=None)
    async def async_simulation_to_thread(user_id: int = SIMULATION_USER) -> dict[str, Any]:
        products, items = await queries.awaited_frames(user_id)
        return _answer(products, items, await asyncio.to_thread(fibonacci, depth))

    return Study(router, pools.running, lambda: {**pools.proofs(), "fib": depth}, pools.state)
