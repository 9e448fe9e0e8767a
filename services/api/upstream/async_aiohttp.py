"""The awaiting upstream client with aiohttp: the alternative to ``async_upstream``."""

from __future__ import annotations

import aiohttp

from services.api.errors import UpstreamFailedError, UpstreamTimeoutError
from services.api.meter import Meter
from services.api.settings import Settings
from services.api.upstream.answer import Answer, Body, read_answer


class AiohttpUpstream:
    """Must be made inside a running event loop."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._url = settings.upstream_url + "/"
        self._meter = meter
        self.timeout_s = float(settings.number("upstream_timeout_s"))
        self.client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=self.timeout_s)
        )

    async def fetch(self, key: str) -> Answer:
        """One delayed call. Raises UpstreamTimeoutError or UpstreamFailedError."""
        self._meter.upstream_calls += 1
        self._meter.upstream_in_flight += 1
        body = Body(self.timeout_s)
        try:
            async with self.client.get(self._url, params={"key": key}) as response:
                async for piece in response.content.iter_any():
                    body.take(piece)
        except TimeoutError:
            raise UpstreamTimeoutError(f"upstream did not answer within {self.timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            raise UpstreamFailedError(f"upstream unreachable: {type(error).__name__}") from None
        finally:
            self._meter.upstream_in_flight -= 1
        return read_answer(response.status, body.whole())

    async def close(self) -> None:
        await self.client.close()
