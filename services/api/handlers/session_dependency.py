"""The request's session as a FastAPI dependency: ``hold = dependency`` and ``hold = login``.

Blocking ones are plain generators, as is usual: FastAPI runs them on the threads that also run ``def``
handlers, and closes them from the event loop.
- A handler that blocks the loop while it waits for a connection keeps the others from returning theirs.
- A dependency that uses its session before the handler runs holds a connection while the request waits for
the handler's thread, and all threads may be waiting for a connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from fastapi import Request

from services.api import sql
from services.api.handlers.shop import AsyncShop, SyncShop, found

_CALLER = 1


def sync_session(request: Request) -> Iterator[SyncShop]:
    shop: SyncShop = request.app.state.shop
    with shop.unit() as unit:
        yield replace(shop, opened=unit)


def sync_login(request: Request) -> Iterator[SyncShop]:
    shop: SyncShop = request.app.state.shop
    with shop.unit() as unit:
        with unit.statements() as db:
            found(db.one(sql.USER, {"user_id": _CALLER}), "user", _CALLER)
        yield replace(shop, opened=unit)


async def async_session(request: Request) -> AsyncIterator[AsyncShop]:
    shop: AsyncShop = request.app.state.shop
    async with shop.unit() as unit:
        yield replace(shop, opened=unit)


async def async_login(request: Request) -> AsyncIterator[AsyncShop]:
    shop: AsyncShop = request.app.state.shop
    async with shop.unit() as unit:
        async with unit.statements() as db:
            found(await db.one(sql.USER, {"user_id": _CALLER}), "user", _CALLER)
        yield replace(shop, opened=unit)


# {value of ``hold``: (for blocking handlers, for awaiting ones)}
DEPENDENCIES = {"dependency": (sync_session, async_session), "login": (sync_login, async_login)}
