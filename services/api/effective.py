"""``GET /effective``: what is in force in this worker, read from its live objects.

Nothing here reads the settings, so that a knob that silently does nothing is noticed.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi.routing import APIRoute

from services.api import gunicorn_conf
from services.api.db.choose import AnyAsyncDatabase
from services.api.handlers.session_dependency import DEPENDENCIES
from services.api.handlers.shop import AsyncShop, SyncShop, worker_shop
from services.api.meter import OWN_PATHS
from services.api.metrics import ObserveLatency
from services.api.studies.request_log import RequestLog
from services.contract.cgroup import Cgroup, read_cgroup

if TYPE_CHECKING:
    from fastapi import FastAPI

_SHOP_PATHS = ("/products", "/orders", "/checkout")
_ONE = "SELECT 1 AS one"
_PRAGMAS = ("journal_mode", "synchronous", "cache_size", "mmap_size", "temp_store", "busy_timeout")


async def effective(app: FastAPI) -> dict[str, Any]:
    """{pid, parent_pid, proofs: {knob's proof: value}, facts: {what is not a knob but explains a run}}."""
    shop: SyncShop | AsyncShop = app.state.shop
    held, pragmas, prepared = await (_probe(shop) if isinstance(shop, AsyncShop) else _probe_sync(shop))
    pool = shop.database.pool_state()
    client = type(shop.upstream.client)
    loop = type(asyncio.get_running_loop())
    cgroup = read_cgroup()
    return {
        "pid": os.getpid(),
        "parent_pid": os.getppid(),
        "proofs": {
            "handlers": _handlers(app, shop),
            "threads": int(anyio.to_thread.current_default_thread_limiter().total_tokens),
            "server": _server(),
            "database": pool.database,
            "driver": pool.driver,
            "prepared": prepared,
            "sqlite": pragmas,
            "pool": pool.pool,
            "pool_size": pool.size,
            "pool_overflow": pool.overflow,
            "hold": _hold(app, held=held),
            "http_client": f"{client.__module__}.{client.__name__}".replace("httpx._client", "httpx"),
            "upstream_timeout_s": _client_timeout(shop),
            "instrumentation": _instrumentation(app),
            **_budget(cgroup),
            "request_log": _request_log(app),
            "endpoint": _study_routes(app),
            **(app.state.study.proofs() if app.state.study else {}),
        },
        "facts": {
            "python": platform.python_version(),
            "loop": f"{loop.__module__}.{loop.__name__}",
            "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "cgroup": asdict(cgroup) if cgroup else None,
        },
    }


def _handlers(app: FastAPI, shop: SyncShop | AsyncShop) -> str:
    """From the mounted routes and the engine in use, so that serving the wrong twin is noticed."""
    workload = {
        inspect.iscoroutinefunction(route.endpoint)
        for route in _mounted(app.routes)
        if route.path.startswith(_SHOP_PATHS)
    }
    awaiting = isinstance(shop.database, AnyAsyncDatabase)
    if workload == {False} and not awaiting:
        return "sync"
    if workload == {True}:
        return "async" if awaiting else "blocking"
    return f"mixed: coroutine {sorted(workload)}, awaiting database {awaiting}"


def _hold(app: FastAPI, *, held: bool) -> str:
    if not held:
        return "statements"
    in_force = app.dependency_overrides.get(worker_shop)
    by_dependency = [value for value, ours in DEPENDENCIES.items() if in_force in ours]
    return by_dependency[0] if by_dependency else "request"


def _study_routes(app: FastAPI) -> dict[str, str]:
    """{path: kind of function} of what is mounted besides the shop; empty if there is only the shop."""
    return {
        route.path: "async def" if inspect.iscoroutinefunction(route.endpoint) else "def"
        for route in _mounted(app.routes)
        if not route.path.startswith(_SHOP_PATHS) and route.path not in OWN_PATHS
    }


def _mounted(routes: Sequence[Any]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        # FastAPI mounts an included router as one route that keeps the original.
        yield from _mounted(getattr(getattr(route, "original_router", None), "routes", ()))


def _server() -> str:
    if gunicorn_conf.live_worker is not None:
        return "gunicorn"
    return "uvicorn" if "uvicorn.server" in sys.modules else "unknown"


async def _probe(shop: AsyncShop) -> tuple[bool, dict[str, str], bool | None]:
    """Whether a unit holds its connection between groups, its PRAGMAs, and whether it prepares statements."""
    async with shop.unit() as unit:
        async with unit.statements() as db:
            await db.one(_ONE)
        held = unit.holds_connection()
        async with unit.statements() as db:
            prepared = await db.prepared()
            pragmas = {name: await db.one(f"PRAGMA {name}") for name in _pragmas(shop)}
    return held, _values(pragmas), prepared


async def _probe_sync(shop: SyncShop) -> tuple[bool, dict[str, str], bool | None]:
    with shop.unit() as unit:
        with unit.statements() as db:
            db.one(_ONE)
        held = unit.holds_connection()
        with unit.statements() as db:
            prepared = db.prepared()
            pragmas = {name: db.one(f"PRAGMA {name}") for name in _pragmas(shop)}
    return held, _values(pragmas), prepared


def _pragmas(shop: SyncShop | AsyncShop) -> tuple[str, ...]:
    return _PRAGMAS if shop.database.pool_state().database == "sqlite" else ()


def _values(rows: dict[str, dict[str, Any] | None]) -> dict[str, str]:
    return {name: str(next(iter(row.values()))) for name, row in rows.items() if row}


def _client_timeout(shop: SyncShop | AsyncShop) -> float | None:
    timeout = shop.upstream.client.timeout
    # httpx has one timeout per phase, aiohttp one for the whole request.
    return getattr(timeout, "total", None) or getattr(timeout, "read", None)


def _instrumentation(app: FastAPI) -> str:
    classes: list[Any] = [middleware.cls for middleware in app.user_middleware]
    if ObserveLatency in classes:
        return "middleware"
    if any(getattr(cls, "__module__", "").startswith("prometheus_fastapi_instrumentator") for cls in classes):
        return "instrumentator"
    return "none"


def _request_log(app: FastAPI) -> str:
    classes: list[Any] = [middleware.cls for middleware in app.user_middleware]
    return "on" if RequestLog in classes else "off"


def _budget(cgroup: Cgroup | None) -> dict[str, Any]:
    """How many CPUs this worker may use, and whether its quota or its affinity sets that limit."""
    # None where the platform has no affinity: the run is then unpinned, and its record says so.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    quota = cgroup.quota_s / cgroup.period_s if cgroup and cgroup.quota_s and cgroup.period_s else None
    if quota is not None and (allowed is None or quota < allowed):
        return {"cpus": int(quota) if quota.is_integer() else quota, "pinning": "quota"}
    pinned = allowed is not None and allowed < (os.cpu_count() or 1)
    return {"cpus": allowed, "pinning": "cpuset" if pinned else "none"}
