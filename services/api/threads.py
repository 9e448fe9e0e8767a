"""How many Python threads a worker has, and has had."""

from __future__ import annotations

import threading
from weakref import WeakSet


class Threads:
    """Counts every thread that was alive at one of the looks: AnyIO's live for ten idle seconds at least."""

    def __init__(self) -> None:
        self._seen: WeakSet[threading.Thread] = WeakSet()
        self.created = 0
        self.alive = 0
        self.look()

    def look(self) -> None:
        now = threading.enumerate()
        for thread in now:
            if thread not in self._seen:
                self._seen.add(thread)
                self.created += 1
        self.alive = len(now)


# A process has one set of threads.
THREADS = Threads()
