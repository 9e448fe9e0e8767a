"""The HTTP I/O study: a call to a service that waits a second, and a file, from ``def`` and ``async def``.

The client is made for each request, as in the study, or once per worker (knob ``upstream_client``). A client
made for each request loads the certificate store each time, although it never uses TLS here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import httpx
from fastapi import APIRouter
from fastapi.responses import Response

from services.api.errors import UpstreamFailedError, UpstreamTimeoutError
from services.api.meter import Meter
from services.api.settings import Settings
from services.api.studies.request_log import RequestLog
from services.api.studies.study import Study
from services.api.upstream.limits import HTTPX_LIMITS
from services.contract import json_file
from services.contract.endpoints import WAIT_MS


class Calls:
    """The upstream call by either client. Must be closed if the clients are reused."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._meter = meter
        self._url = f"{settings.upstream_url}/?waitms={WAIT_MS}"
        # With trust_env, a proxy set on this machine could answer instead of the upstream.
        self._options: dict[str, Any] = {
            "timeout": httpx.Timeout(float(settings.number("upstream_timeout_s"))),
            "limits": HTTPX_LIMITS,
            "trust_env": False,
        }
        reused = settings.word("upstream_client") == "reused"
        self.client = httpx.Client(**self._options) if reused else None
        self.awaiting_client = httpx.AsyncClient(**self._options) if reused else None

    def proofs(self) -> dict[str, Any]:
        timeout = self._options["timeout"] if self.client is None else self.client.timeout
        return {
            "upstream_client": "request" if self.client is None else "reused",
            "upstream_timeout_s": timeout.read,
        }

    def blocking(self) -> Response:
        with self._told():
            if self.client is not None:
                return _answer(self.client.get(self._url))
            with httpx.Client(**self._options) as client:
                return _answer(client.get(self._url))

    async def awaited(self) -> Response:
        with self._told():
            if self.awaiting_client is not None:
                return _answer(await self.awaiting_client.get(self._url))
            async with httpx.AsyncClient(**self._options) as client:
                return _answer(await client.get(self._url))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Counts the call, and maps its failures to our errors."""
        self._meter.upstream_calls += 1
        self._meter.upstream_in_flight += 1
        try:
            yield
        except httpx.TimeoutException as error:
            raise UpstreamTimeoutError(f"upstream call timed out: {type(error).__name__}") from None
        except httpx.HTTPError as error:
            raise UpstreamFailedError(f"upstream unreachable: {type(error).__name__}") from None
        finally:
            self._meter.upstream_in_flight -= 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self.client is not None and self.awaiting_client is not None:
                self.client.close()
                await self.awaiting_client.aclose()


def _answer(response: httpx.Response) -> Response:
    if response.status_code != 200:
        raise UpstreamFailedError(f"upstream answered status {response.status_code}")
    return Response(response.content, media_type="application/json")


def make_study(settings: Settings, meter: Meter) -> Study:
    calls = Calls(settings, meter)
    path = json_file.write(settings.sqlite_path.parent)
    router = APIRouter()

    # The study's code and its article name each path differently: both are served.
    @router.get("/http/sync")
    @router.get("/sync/http")
    def sync_http() -> Response:
        return calls.blocking()

    @router.get("/async/http")
    @router.get("/http/async")
    async def async_http() -> Response:
        return await calls.awaited()

    @router.get("/http/async/sync")
    @router.get("/async/http/sync")
    async def async_http_sync() -> Response:
        return calls.blocking()

    @router.get("/sync/json", response_model=None)
    def sync_json() -> Any:
        return json.loads(path.read_text(encoding="utf-8"))

    @router.get("/async/json", response_model=None)
    async def async_json() -> Any:
        return json.loads(await anyio.Path(path).read_text(encoding="utf-8"))

    logged = settings.word("request_log") == "on"
    return Study(router, calls.running, calls.proofs, middleware=(RequestLog,) if logged else ())
