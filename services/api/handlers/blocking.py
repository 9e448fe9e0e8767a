"""The sync handlers inside ``async def``: every wait of a request blocks the worker's event loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from services.api.handlers import sync_handlers


def _inside_async_def(handler: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(handler)
    async def blocking(*args: Any, **kwargs: Any) -> Any:
        return handler(*args, **kwargs)

    return blocking


router = APIRouter()
for _route in sync_handlers.router.routes:
    if isinstance(_route, APIRoute):
        router.add_api_route(
            _route.path,
            _inside_async_def(_route.endpoint),
            methods=list(_route.methods or ()),
            status_code=_route.status_code,
            response_model=_route.response_model,
        )
