"""What a study's module provides to the service."""

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
    """``running`` keeps open what the routes need while the worker serves; ``proofs`` reads the values of the
    study's own knobs from its live objects: {proof key: value}; ``middleware`` wraps the whole application;
    ``pool_state`` describes the pool to watch under load, if the study has its own pools.
    """

    router: APIRouter
    running: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    proofs: Callable[[], dict[str, Any]] = dict
    pool_state: Callable[[], PoolState] | None = None
    middleware: tuple[type[BaseHTTPMiddleware], ...] = ()
