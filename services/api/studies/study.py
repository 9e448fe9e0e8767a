"""What a study's module hands to the service."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.middleware.base import BaseHTTPMiddleware

from services.api.db.pool_state import PoolState


@dataclass(frozen=True)
class Study:
    """``running`` holds what the routes need open while the worker serves; ``proofs`` reads from its live
    objects what the study's own knobs must show: {proof key: value}; ``middleware`` wraps the
    whole application; ``pool_state`` is the one to watch under load, where the study has pools of its own.
    """

    router: APIRouter
    running: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    proofs: Callable[[], dict[str, Any]] = dict
    pool_state: Callable[[], PoolState] | None = None
    middleware: tuple[type[BaseHTTPMiddleware], ...] = ()
