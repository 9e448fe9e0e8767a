"""What one request of the correctness check must cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Expectation:
    """One request: its status, how many SQL statements and upstream calls it must cause, its body, and the
    minimum time that it must take, in seconds.
    """

    name: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    status: int
    statements: int
    upstream_calls: int
    right: Callable[[Any], bool]
    waits_s: float = 0.0
