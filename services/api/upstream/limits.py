"""Connection limits of the upstream clients."""

from __future__ import annotations

import httpx

# By default httpx keeps 20 and opens at most 100 connections: a ceiling that no stage is about.
# aiohttp's default of 100 is lifted too.
HTTPX_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
