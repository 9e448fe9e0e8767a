"""What the handlers share: formatting, missing rows, and access to the worker's objects."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from services.api.db.choose import AnyAsyncDatabase, AnyAsyncUnit, AnySyncDatabase, AnySyncUnit
from services.api.errors import NotFoundError
from services.api.models import Product, SalesLine
from services.api.upstream.async_aiohttp import AiohttpUpstream
from services.api.upstream.async_upstream import AsyncUpstream
from services.api.upstream.sync_upstream import SyncUpstream


@dataclass(frozen=True)
class SyncShop:
    """``opened`` is the request's unit if a dependency opened one."""

    database: AnySyncDatabase
    upstream: SyncUpstream
    opened: AnySyncUnit | None = None

    def unit(self) -> AbstractContextManager[AnySyncUnit]:
        return self.database.unit() if self.opened is None else nullcontext(self.opened)


@dataclass(frozen=True)
class AsyncShop:
    """As ``SyncShop``."""

    database: AnyAsyncDatabase
    upstream: AsyncUpstream | AiohttpUpstream
    opened: AnyAsyncUnit | None = None

    def unit(self) -> AbstractAsyncContextManager[AnyAsyncUnit]:
        return self.database.unit() if self.opened is None else nullcontext(self.opened)


async def worker_shop(request: Request) -> Any:
    # A coroutine, because FastAPI would run a plain function on a thread: a cost that no stage is about.
    return request.app.state.shop


InSyncShop = Annotated[SyncShop, Depends(worker_shop)]
InAsyncShop = Annotated[AsyncShop, Depends(worker_shop)]


def answer(body: BaseModel, status: int = 200) -> Response:
    """The body as JSON, encoded here and not by FastAPI.

    FastAPI serialises what a ``def`` handler returns on a second thread: a request would then queue for a
    token twice, and with one token all answers of a closed load would come in one burst.
    """
    return Response(body.model_dump_json(), status, media_type="application/json")


def money(amount: Any) -> str:
    """Two decimal places, whatever number type the driver returns."""
    return f"{float(amount):.2f}"


def found(row: Mapping[str, Any] | None, what: str, row_id: int) -> Mapping[str, Any]:
    """The row. Raises NotFoundError naming what was asked for."""
    if row is None:
        raise NotFoundError(f"no {what} {row_id}")
    return row


def as_product(row: Mapping[str, Any]) -> Product:
    return Product(id=row["id"], title=row["title"], unit_price=money(row["unit_price"]))


def as_sales_line(row: Mapping[str, Any]) -> SalesLine:
    return SalesLine(
        status=row["status"],
        lines=row["lines"],
        buyers=row["buyers"],
        quantity=row["quantity"],
        revenue=money(row["revenue"]),
    )
