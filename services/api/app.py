"""The service under test: ``uvicorn services.api.app:app``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from services.api import metrics
from services.api.db.choose import async_database, sync_database
from services.api.effective import effective
from services.api.errors import add_error_handlers
from services.api.gauge_files import worker_gone
from services.api.handlers import async_handlers, blocking, sync_handlers
from services.api.handlers.session_dependency import DEPENDENCIES
from services.api.handlers.shop import AsyncShop, SyncShop, worker_shop
from services.api.meter import CountRequests, Meter
from services.api.settings import Settings, SettingsError
from services.api.studies.routers import study_of
from services.api.studies.study import Study
from services.api.upstream.async_aiohttp import AiohttpUpstream
from services.api.upstream.async_upstream import AsyncUpstream
from services.api.upstream.sync_upstream import SyncUpstream

_ROUTERS = {
    "sync": sync_handlers.router,
    "async": async_handlers.router,
    "blocking": blocking.router,
}


def make_app(settings: Settings) -> FastAPI:
    """The application for these ``settings``. Nothing connects before its lifespan starts."""
    meter = Meter()
    study = study_of(settings, meter)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if study is None:
            async with serving(app):
                yield
        else:
            async with study.running(), serving(app):
                yield

    @asynccontextmanager
    async def serving(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.number("threads")
        metrics.show_run(settings.run)
        if settings.word("handlers") == "async":
            async with _async_shop(settings, meter) as shop:
                app.state.shop = shop
                async with _published(app, meter, study):
                    yield
        else:
            with_shop = SyncShop(sync_database(settings, meter), SyncUpstream(settings, meter))
            with_shop.database.open()
            app.state.shop = with_shop
            async with _published(app, meter, study):
                yield
            with_shop.upstream.close()
            with_shop.database.close()

    app = FastAPI(title="vcpu-ladder: the service under test", lifespan=lifespan)
    app.include_router(_ROUTERS[settings.word("handlers")])
    if settings.word("hold") in DEPENDENCIES:
        blocking_one, awaiting_one = DEPENDENCIES[settings.word("hold")]
        awaits = settings.word("handlers") == "async"
        app.dependency_overrides[worker_shop] = awaiting_one if awaits else blocking_one
    if study is not None:
        app.include_router(study.router)
    app.state.study = study
    _add_own_routes(app)
    add_error_handlers(app, meter)
    metrics.instrument(app, settings.word("instrumentation"))
    for middleware in study.middleware if study is not None else ():
        app.add_middleware(middleware)
    app.add_middleware(CountRequests, meter=meter)
    return app


@asynccontextmanager
async def _async_shop(settings: Settings, meter: Meter) -> AsyncIterator[AsyncShop]:
    client = AiohttpUpstream if settings.word("http_client") == "aiohttp" else AsyncUpstream
    shop = AsyncShop(async_database(settings, meter), client(settings, meter))
    await shop.database.open()
    try:
        yield shop
    finally:
        await shop.upstream.close()
        await shop.database.close()


@asynccontextmanager
async def _published(app: FastAPI, meter: Meter, study: Study | None) -> AsyncIterator[None]:
    pool_state = (study and study.pool_state) or app.state.shop.database.pool_state
    app.state.publisher = metrics.Publisher(meter, pool_state)
    publishing = asyncio.create_task(app.state.publisher.publish_for_ever())
    try:
        yield
    finally:
        publishing.cancel()
        with suppress(asyncio.CancelledError):
            await publishing
        worker_gone(os.getpid())


def _add_own_routes(app: FastAPI) -> None:
    # All coroutines: they must answer even while every thread is busy.
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/effective")
    async def read_effective() -> dict[str, Any]:
        return await effective(app)

    @app.get("/metrics")
    async def read_metrics() -> Response:
        app.state.publisher.publish()
        return Response(metrics.scrape(), media_type=CONTENT_TYPE_LATEST)


def _app_from_env() -> FastAPI:
    try:
        return make_app(Settings.from_env())
    except SettingsError as error:
        sys.exit(f"vcpu-ladder service: {error}")


def __getattr__(name: str) -> FastAPI:
    # Built when a server asks for it, so that importing this module needs no settings.
    if name == "app":
        globals()["app"] = built = _app_from_env()
        return built
    raise AttributeError(name)
