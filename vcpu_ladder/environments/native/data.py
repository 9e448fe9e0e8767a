"""The shop's data for native runs, by the ``database`` knob: made once, restored for each run, watched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from vcpu_ladder.data import sqlite
from vcpu_ladder.environments.live_data import DATA_SEED, LiveData, live_postgres
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.postgres.plan import SeedPlan
from vcpu_ladder.postgres.seed import seed, seed_native
from vcpu_ladder.postgres.server import ExternalServer, NativeServer, Server
from vcpu_ladder.postgres.steps import OnProgress
from vcpu_ladder.records.events import Preparing


def prepare(stages: Iterable[ResolvedStage], folder: Path, port: int, on_progress: OnProgress) -> None:
    """Make what the stages' data is restored from, if it is missing. Raises EnvironmentNotReady."""
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
            on_progress(Preparing(step=step, done=done, total=total))
            return
        now = time.monotonic()
        on_progress(Preparing(step=step, seconds=now - began))
        began = now

    return on_rows


@contextmanager
def live_data(
    stage: ResolvedStage, folder: Path, port: int, cpus: Sequence[int], tell: Callable[[str], None]
) -> Iterator[LiveData]:
    """Restore the stage's data as seeded, whatever an earlier run wrote. ``cpus`` are for a server of ours.

    Raises EnvironmentNotReady: not seeded, no server, no room.
    """
    if stage.knobs["database"] == "sqlite":
        source = sqlite.template(folder / "sqlite", stage.scale, DATA_SEED)
        path = folder / "run" / "shop.sqlite"
        sqlite.restore(source, path, stage.scale)
        yield LiveData({"API_SQLITE_PATH": str(path)}, {"database": "sqlite"})
        return
    with (
        _server(folder / "postgres", port, cpus) as server,
        live_postgres(server, stage, server.url, tell) as live,
    ):
        yield live


@contextmanager
def _server(home: Path, port: int, cpus: Sequence[int]) -> Iterator[Server]:
    url = os.environ.get("DATABASE_URL")
    if url:
        yield ExternalServer.check(url)
        return
    with NativeServer.start(home, port, cpus=cpus) as server:
        yield server


def external_server() -> str | None:
    """The user's server (host and port) as the record names it; None for our own."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        return None
    try:
        places = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise EnvironmentNotReady("DATABASE_URL is not a PostgreSQL URL") from None
    return f"{places.get('host', 'localhost')}:{places.get('port', 5432)}"
