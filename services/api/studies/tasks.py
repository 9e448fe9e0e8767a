"""The tasks study: three tasks of equal length, blocking in turn, awaited in turn, or gathered."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter

from services.api.meter import Meter
from services.api.settings import Settings
from services.api.studies.study import Study
from services.contract.endpoints import TASKS


class Tasks:
    """The three tasks. Each takes ``length_s`` and returns a number; a dependent one adds its argument."""

    def __init__(self, length_ms: int) -> None:
        self.length_s = length_ms / 1000

    def blocking(self, given: int = 0) -> int:
        time.sleep(self.length_s)
        return given + 1

    async def awaited(self, given: int = 0) -> int:
        await asyncio.sleep(self.length_s)
        return given + 1


def make_study(settings: Settings, _meter: Meter) -> Study:
    tasks = Tasks(settings.number("task_ms"))
    router = APIRouter()

    @router.get("/sync_baseline", response_model=None)
    def sync_baseline() -> dict[str, Any]:
        return {"results": [tasks.blocking() for _ in range(TASKS)]}

    @router.get("/async_independent", response_model=None)
    async def async_independent() -> dict[str, Any]:
        return {"results": [await tasks.awaited() for _ in range(TASKS)]}

    @router.get("/async_dependent", response_model=None)
    async def async_dependent() -> dict[str, Any]:
        results = [0]
        for _ in range(TASKS):
            results.append(await tasks.awaited(results[-1]))
        return {"results": results[1:]}

    @router.get("/async_concurrent", response_model=None)
    async def async_concurrent() -> dict[str, Any]:
        return {"results": await asyncio.gather(*(tasks.awaited() for _ in range(TASKS)))}

    return Study(router, proofs=lambda: {"task_ms": round(tasks.length_s * 1000)})
