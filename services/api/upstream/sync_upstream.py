"""The blocking client of the upstream. Twin of ``async_upstream``."""

from __future__ import annotations

import httpx

from services.api.errors import UpstreamFailedError, UpstreamTimeoutError
from services.api.meter import Meter
from services.api.settings import Settings
from services.api.upstream.answer import Answer, Body, read_answer
from services.api.upstream.limits import HTTPX_LIMITS


class SyncUpstream:
    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._url = settings.upstream_url + "/"
        self._meter = meter
        self.timeout_s = float(settings.number("upstream_timeout_s"))
        self.client = httpx.Client(timeout=self.timeout_s, limits=HTTPX_LIMITS, trust_env=False)

    def fetch(self, key: str) -> Answer:
        """One delayed call. Raises UpstreamTimeoutError or UpstreamFailedError."""
        self._meter.upstream_calls += 1
        self._meter.upstream_in_flight += 1
        body = Body(self.timeout_s)
        try:
            with self.client.stream("GET", self._url, params={"key": key}) as response:
                for piece in response.iter_bytes():
                    body.take(piece)
        except httpx.TimeoutException:
            raise UpstreamTimeoutError(f"upstream did not answer within {self.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise UpstreamFailedError(f"upstream unreachable: {type(error).__name__}") from None
        finally:
            self._meter.upstream_in_flight -= 1
        return read_answer(response.status_code, body.whole())

    def close(self) -> None:
        self.client.close()
