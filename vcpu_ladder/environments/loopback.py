"""The runner's own HTTP calls to services on this machine, each on a new connection.

One client for all calls: each ``httpx.get`` would build a TLS context, 20 to 40 ms of the CPU that the
load generator needs. No connection is kept, because a kept one would always reach the same worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

_CLIENT = httpx.Client(
    verify=False,  # plain HTTP on loopback: no certificate is ever seen
    trust_env=False,
    limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
    headers={"Connection": "close"},
)


def request(method: str, url: str, *, timeout_s: float = 5.0, json: object = None) -> httpx.Response:
    """The response, whatever its status. Raises httpx.HTTPError when there is none."""
    return _CLIENT.request(method, url, timeout=timeout_s, json=json)


def get_text(url: str, timeout_s: float = 5.0) -> str:
    """The body of a 200. Raises httpx.HTTPError."""
    return request("GET", url, timeout_s=timeout_s).raise_for_status().text


def get_json(url: str, timeout_s: float = 5.0) -> Any:
    """The JSON of a 200. Raises httpx.HTTPError, or ValueError when the body is not JSON."""
    return request("GET", url, timeout_s=timeout_s).raise_for_status().json()


def answers(url: str) -> Callable[[], bool]:
    """A readiness probe: the URL answers 200."""

    def probe() -> bool:
        try:
            return request("GET", url, timeout_s=1.0).status_code == 200
        except httpx.HTTPError:
            return False

    return probe
