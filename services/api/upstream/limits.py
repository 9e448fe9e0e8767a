"""Connection limits of the upstream clients."""

from __future__ import annotations

import httpx

# httpx keeps 20 and opens at most 100 connections unless told otherwise: a ceiling of its own that
# no stage asks about. aiohttp's 100 is lifted alike.
HTTPX_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
