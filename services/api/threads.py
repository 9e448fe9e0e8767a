"""How many Python threads a worker has, and has had, not counting those of aiosqlite's connections.

Those belong to the shop's database, which the proofs open and no study uses.
"""

from __future__ import annotations

import threading
from weakref import WeakSet

# Python names a thread after its target function.
_AIOSQLITE = "_connection_worker_thread"


class Threads:
    """Counts every thread that was alive at any look; AnyIO's threads live for at least ten idle seconds."""

    def __init__(self) -> None:
        self._seen: WeakSet[threading.Thread] = WeakSet()
        self.created = 0
        self.alive = 0
        self.look()

    def look(self) -> None:
        now = [thread for thread in threading.enumerate() if _AIOSQLITE not in thread.name]
        for thread in now:
            if thread not in self._seen:
                self._seen.add(thread)
                self.created += 1
        self.alive = len(now)


# A process has one set of threads.
THREADS = Threads()
