"""The HTTP I/O study's logging middleware: a line per request, with the threads alive and created so far."""

from __future__ import annotations

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from services.api.meter import OWN_PATHS
from services.api.threads import THREADS


class RequestLog(BaseHTTPMiddleware):
    """Uses Starlette's costly BaseHTTPMiddleware, as in the study: its cost is the subject of some stages."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        if request.url.path not in OWN_PATHS:
            THREADS.look()
            line = f"{request.method} {request.url.path} {response.status_code}"
            # Flushed, as Python's logging does for each record.
            print(f"{line} threads {THREADS.alive} created {THREADS.created}", flush=True)
        return response
