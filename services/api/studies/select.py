"""The select study: one indexed SELECT, by a blocking or an awaiting psycopg pool.

The study publishes the handlers, not the statement. Here it selects the user's orders, by an index.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.api.meter import Meter
from services.api.settings import Settings
from services.api.studies.pools import StudyPools
from services.api.studies.study import Study
from services.contract.endpoints import SELECT_USER

ORDERS_OF_USER = """
SELECT id, status, created_at FROM orders WHERE user_id = %(user_id)s ORDER BY id
"""


def make_study(settings: Settings, meter: Meter) -> Study:
    pools = StudyPools(settings, meter)
    router = APIRouter()

    @router.get("/sync_select", response_model=None)
    def sync_select(user_id: int = SELECT_USER) -> dict[str, Any]:
        meter.statements += 1
        with pools.blocking.connection() as connection, connection.cursor() as cursor:
            cursor.execute(ORDERS_OF_USER, {"user_id": user_id})
            rows = cursor.fetchall()
        return {"rows": rows}

    @router.get("/async_select", response_model=None)
    async def async_select(user_id: int = SELECT_USER) -> dict[str, Any]:
        meter.statements += 1
        async with pools.awaiting.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(ORDERS_OF_USER, {"user_id": user_id})
            rows = await cursor.fetchall()
        return {"rows": rows}

    return Study(router, pools.running, pools.proofs, pools.state)
