"""A run's data, and how it is watched during the run: the same wherever the server is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import psutil
import psycopg

from vcpu_ladder.environments.base import Activity
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.postgres.connect import Connection, connect
from vcpu_ladder.postgres.plan import SeedPlan
from vcpu_ladder.postgres.restore import restore
from vcpu_ladder.postgres.server import NativeServer, Server, describe

DATA_SEED = 1
# The service's settings give its connections this name and the worker's pid.
CLIENT_PREFIX = "ladder-api-"
_ACTIVITY = """
SELECT application_name, coalesce(state, ''), coalesce(wait_event_type, '') = 'Lock', count(*)
FROM pg_stat_activity WHERE starts_with(application_name, %s) GROUP BY 1, 2, 3
"""


class Watcher:
    """One session that observes the others during a run; opened again if the server was down."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._session: Connection | None = connect(url)
        self._interruptions = 0

    def look(self) -> Activity:
        """Raises EnvironmentNotReady while the server does not answer."""
        # Never queue a query behind one that hangs: all of the sampler's few threads would get stuck here.
        if not self._lock.acquire(blocking=False):
            raise EnvironmentNotReady("the database server has not answered the last query yet")
        try:
            if self._session is None:
                self._session = connect(self._url)
            seen = _counted(self._session.execute(_ACTIVITY, (CLIENT_PREFIX,)).fetchall())
            return replace(seen, interruptions=self._interruptions)
        except psycopg.Error as error:
            self._interruptions += 1
            self._close()
            raise EnvironmentNotReady(f"the database server ended a session: {error}") from None
        finally:
            self._lock.release()

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(psycopg.Error):
                session.close()

    def close(self) -> None:
        # Without the lock: closing the session ends a query that hangs.
        self._close()


def _counted(rows: Iterable[tuple[str, str, bool, int]]) -> Activity:
    by_pid: dict[int, int] = {}
    states = {"active": 0, "idle": 0, "idle in transaction": 0}
    locks = 0
    for name, state, waits, count in rows:
        pid = int(name.removeprefix(CLIENT_PREFIX))
        by_pid[pid] = by_pid.get(pid, 0) + count
        kind = state.removesuffix(" (aborted)")
        if kind in states:
            states[kind] += count
        locks += count if waits else 0
    return Activity(by_pid, states["active"], states["idle"], states["idle in transaction"], locks)


@dataclass(frozen=True)
class LiveData:
    """Restored data. ``variables`` tell the service where it is; ``facts`` go into the record."""

    variables: dict[str, str]
    facts: dict[str, object]
    server: Server | None = None
    watcher: Watcher | None = None

    def activity(self) -> Activity | None:
        """None without a server. Raises as ``Watcher.look`` does."""
        return self.watcher.look() if self.watcher else None

    def cpu_s(self) -> float | None:
        """CPU seconds of the server's processes; None without a server, or if we cannot see its processes."""
        if not isinstance(self.server, NativeServer):
            return None
        try:
            postmaster = psutil.Process(self.server.pid())
            children = postmaster.children()
            # The postmaster's children time includes sessions that have ended.
            spent = sum(postmaster.cpu_times()[:4])
        except (psutil.Error, OSError, ValueError):
            return None  # it is down, which may be what a run tests
        for child in children:
            with suppress(psutil.Error):
                spent += sum(child.cpu_times()[:2])
        return spent


@contextmanager
def live_postgres(
    server: Server, stage: ResolvedStage, service_url: Callable[[str], str], tell: Callable[[str], None]
) -> Iterator[LiveData]:
    """The stage's data restored on the server and watched there.

    ``service_url`` makes the URL by which the service reaches a database of that name. Raises
    EnvironmentNotReady.
    """
    report = restore(server, SeedPlan(stage.scale.factor, DATA_SEED), waits_for=tell)
    facts = {
        "database": "postgres",
        "server": describe(server),
        "restored_by": report.method,
        "restore_s": round(report.seconds, 2),
    }
    # Connect before the service's pools do: the session that counts them must not be the one refused.
    watcher = Watcher(server.url())
    try:
        yield LiveData({"API_DATABASE_URL": service_url(report.database)}, facts, server, watcher)
    finally:
        watcher.close()
