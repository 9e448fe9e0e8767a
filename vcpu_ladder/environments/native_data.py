"""The shop's data for native runs, by the ``database`` knob: made once, restored before each run, watched."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import psycopg

from vcpu_ladder.data import sqlite
from vcpu_ladder.environments.base import Activity
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres.connect import Connection, connect
from vcpu_ladder.postgres.plan import SeedPlan
from vcpu_ladder.postgres.restore import restore
from vcpu_ladder.postgres.seed import seed, seed_native
from vcpu_ladder.postgres.server import ExternalServer, NativeServer, Server, describe
from vcpu_ladder.postgres.steps import OnProgress, Progress
from vcpu_ladder.resolve import ResolvedStage

DATA_SEED = 1
# The service's settings name its connections so, with the worker's pid.
CLIENT_PREFIX = "ladder-api-"
_ACTIVITY = """
SELECT application_name, coalesce(state, ''), coalesce(wait_event_type, '') = 'Lock', count(*)
FROM pg_stat_activity WHERE starts_with(application_name, %s) GROUP BY 1, 2, 3
"""


class Watcher:
    """One session that looks at the others for as long as a run lasts; opened anew if the server was away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._session: Connection | None = connect(url)
        self._interruptions = 0

    def look(self) -> Activity:
        """Raises EnvironmentNotReady while the server does not answer."""
        # Never a second question behind one that hangs: the sampler's few threads would all end here.
        if not self._lock.acquire(blocking=False):
            raise EnvironmentNotReady("the database server has not answered the last question yet")
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
        # Without the lock: a question that hangs ends with its session.
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
        """CPU seconds of the server's processes; None without one, and where they are not ours to see."""
        if not isinstance(self.server, NativeServer):
            return None
        try:
            postmaster = psutil.Process(self.server.pid())
            children = postmaster.children()
            # Sessions that ended are in the postmaster's account of its children.
            spent = sum(postmaster.cpu_times()[:4])
        except (psutil.Error, OSError, ValueError):
            return None  # it is down: a run may be about that
        for child in children:
            with suppress(psutil.Error):
                spent += sum(child.cpu_times()[:2])
        return spent


def prepare(stages: Iterable[ResolvedStage], folder: Path, port: int, on_progress: OnProgress) -> None:
    """Make what the stages' runs are restored from, where it is not there yet. Raises EnvironmentNotReady."""
    wanted = {(str(stage.knobs["database"]), stage.scale.factor): stage.scale for stage in stages}
    for (database, factor), scale in sorted(wanted.items(), key=lambda item: item[0]):
        if database == "sqlite":
            sqlite.template(folder / "sqlite", scale, DATA_SEED, _timed(on_progress))
            continue
        plan = SeedPlan(factor, DATA_SEED)
        url = os.environ.get("DATABASE_URL")
        if url:
            seed(ExternalServer.check(url), plan, on_progress)
        else:
            seed_native(folder / "postgres", port, plan, on_progress)


def _timed(on_progress: OnProgress) -> sqlite.OnRows:
    began = time.monotonic()

    def on_rows(step: str, done: int, total: int) -> None:
        nonlocal began
        if done < total:
            on_progress(Progress(step, done, total))
            return
        now = time.monotonic()
        on_progress(Progress(step, seconds=now - began))
        began = now

    return on_rows


@contextmanager
def live_data(
    stage: ResolvedStage, folder: Path, port: int, cpus: Sequence[int], tell: Callable[[str], None]
) -> Iterator[LiveData]:
    """The stage's data as seeded, whatever a run before wrote. ``cpus`` are the server's, where it is ours.

    Raises EnvironmentNotReady: not seeded, no server, no room.
    """
    if stage.knobs["database"] == "sqlite":
        source = sqlite.template(folder / "sqlite", stage.scale, DATA_SEED)
        path = folder / "run" / "shop.sqlite"
        sqlite.restore(source, path, stage.scale)
        yield LiveData({"API_SQLITE_PATH": str(path)}, {"database": "sqlite"})
        return
    with _server(folder / "postgres", port, cpus) as server:
        report = restore(server, SeedPlan(stage.scale.factor, DATA_SEED), waits_for=tell)
        facts = {
            "database": "postgres",
            "server": describe(server),
            "restored_by": report.method,
            "restore_s": round(report.seconds, 2),
        }
        # In before the service's pools: the session that counts them must not be the one turned away.
        watcher = Watcher(server.url())
        try:
            yield LiveData({"API_DATABASE_URL": server.url(report.database)}, facts, server, watcher)
        finally:
            watcher.close()


@contextmanager
def _server(home: Path, port: int, cpus: Sequence[int]) -> Iterator[Server]:
    url = os.environ.get("DATABASE_URL")
    if url:
        yield ExternalServer.check(url)
        return
    with NativeServer.start(home, port, cpus=cpus) as server:
        yield server


def external_server() -> str | None:
    """Which server of the user's is meant, as a record may say it; None for our own."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        return None
    try:
        places = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise EnvironmentNotReady("DATABASE_URL is not a PostgreSQL URL") from None
    return f"{places.get('host', 'localhost')}:{places.get('port', 5432)}"
