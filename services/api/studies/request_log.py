"""The HTTP I/O study's logging middleware: a line a request with the threads alive and created so far."""

from __future__ import annotations

import sys

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from services.api.meter import OWN_PATHS
from services.api.threads import THREADS


class RequestLog(BaseHTTPMiddleware):
    """Of Starlette's costly kind, as in the study: what it costs is one of the study's stages."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        if request.url.path not in OWN_PATHS:
            THREADS.look()
            sys.stdout.write(
                f"{request.method} {request.url.path} {response.status_code} "
                f"threads {THREADS.alive} created {THREADS.created}\n"
            )
        return response
