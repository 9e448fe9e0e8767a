"""Waiting for another process, and how precisely a service can wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# uvloop's timers have a resolution of 1 ms: a wait of 1 s may end after 999.1 ms.
LOOP_CLOCK_MS = 1.0


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = 30.0) -> Any:
    """Returns the condition's value once it is true. Raises AssertionError past the deadline."""
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} not seen in {deadline_s} s")
