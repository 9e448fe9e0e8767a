"""Make the template database of a data set: build, verify, publish. An unpublished one is never used."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres import databases
from vcpu_ladder.postgres.cluster import LOCALE
from vcpu_ladder.postgres.conf import read_settings, set_for_session
from vcpu_ladder.postgres.connect import Connection, connect, one, session
from vcpu_ladder.postgres.databases import Kind, Mark
from vcpu_ladder.postgres.load import create_tables, load_steps
from vcpu_ladder.postgres.plan import SeedPlan
from vcpu_ladder.postgres.server import SEED, NativeServer, Server
from vcpu_ladder.postgres.steps import OnProgress, run_steps
from vcpu_ladder.postgres.trouble import in_clear_words
from vcpu_ladder.postgres.verify import verify_rows, verify_structure
from vcpu_ladder.records.events import Preparing

ROOM_BYTES = 3_300_000_000
"""At scale 1: 2.1 GB of data plus, while the largest indexes are sorted, two sorts of 0.5 GB."""
ROOM_FLOOR_BYTES = 100_000_000
MAX_SESSIONS = 4
"""The critical path, through order_items, cannot use more."""


@dataclass(frozen=True)
class SeedReport:
    """What a seed did. ``seconds`` is wall time; ``steps`` is {step: seconds}; steps overlap."""

    plan: SeedPlan
    template: str
    already_there: bool
    seconds: float
    steps: dict[str, float]
    settings_not_in_force: dict[str, str]
    """{name: value in force} of the seeding settings that a session cannot set on this server."""


def seed(server: Server, plan: SeedPlan, on_progress: OnProgress, anew: bool = False) -> SeedReport:
    """Make sure that the plan's template exists, verified and on disk; ``anew`` rebuilds an existing one.

    Works over any connection that may create databases. What a killed seed left is dropped first.
    Raises EnvironmentNotReady: disk full, server gone, rows not as planned, another seed running.
    """
    begun = time.monotonic()
    steps: dict[str, float] = {}

    def tell(progress: Preparing) -> None:
        if progress.seconds is not None:
            steps[progress.step] = progress.seconds
        on_progress(progress)

    with databases.exclusive(server) as control:
        databases.drop_unfinished(control)
        present = template_ready(control, plan)
        if present and not anew:
            return SeedReport(plan, plan.template, True, time.monotonic() - begun, {}, {})
        different = _build(server, control, plan, tell)
    return SeedReport(plan, plan.template, False, time.monotonic() - begun, steps, different)


def template_ready(control: Connection, plan: SeedPlan) -> bool:
    """Whether the plan's template was published on this server."""
    mark = databases.ours(control).get(plan.template)
    return mark is not None and mark.kind is Kind.TEMPLATE


def seed_native(
    home: Path,
    port: int,
    plan: SeedPlan,
    on_progress: OnProgress,
    cpus: Sequence[int] | None = None,
    anew: bool = False,
) -> SeedReport:
    """``seed`` on the native server, started with the settings for seeding and cleanly stopped afterwards.

    ``seconds`` spans everything, up to a restart with the settings for measuring that finds the template.
    """
    begun = time.monotonic()
    with NativeServer.start(home, port, SEED, cpus) as server:
        report = seed(server, plan, on_progress, anew)
    if report.already_there:
        return report
    on_progress(Preparing(step="restart with the settings for measuring"))
    with NativeServer.start(home, port, cpus=cpus) as server, session(server.url()) as control:
        if not template_ready(control, plan):
            raise EnvironmentNotReady("the seed did not survive a restart", server.log_tail())
        durable = one(control, "SELECT current_setting('fsync'), current_setting('full_page_writes')")
        assert durable == ("on", "on"), durable
    return SeedReport(
        plan, report.template, False, time.monotonic() - begun, report.steps, report.settings_not_in_force
    )


def _build(server: Server, control: Connection, plan: SeedPlan, tell: OnProgress) -> dict[str, str]:
    """Everything from CREATE DATABASE to the published template; returns settings that could not be set."""
    _drop_superseded(control, plan)
    databases.drop(control, plan.template)
    _check_room(server, plan)
    settings = read_settings(SEED)
    different: dict[str, str] = {}

    def open_session() -> Connection:
        connection = connect(server.url(plan.template))
        different.update(set_for_session(connection, settings))
        return connection

    try:
        with in_clear_words(server, f"seeding ({plan})"):
            options = sql.SQL(
                "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE {} LOCALE 'C'"
            ).format(sql.Literal(LOCALE))
            databases.create(control, plan.template, options, Mark(Kind.UNFINISHED, str(plan)))
            with session(server.url(plan.template)) as connection:
                create_tables(connection)
            run_steps(load_steps(plan), open_session, _sessions(), tell)
            with _timed("verify", tell), session(server.url(plan.template)) as connection:
                verify_rows(connection, plan)
                verify_structure(connection, plan)
            with _timed("checkpoint", tell):
                _checkpoint(control)
            _publish(control, plan)
    except BaseException:
        # Best effort, to free the space: its mark already prevents it from being used.
        with contextlib.suppress(Exception):
            databases.drop(control, plan.template)
        raise
    return different


def _sessions() -> int:
    """One per core, but at least two: loading waits for the client part of the time."""
    return max(2, min(MAX_SESSIONS, os.cpu_count() or 2))


def _drop_superseded(control: Connection, plan: SeedPlan) -> None:
    """Templates of the same plan from an older schema or row generator: never used again, 2 GB each."""
    for name, mark in databases.ours(control).items():
        if mark == Mark(Kind.TEMPLATE, str(plan)) and name != plan.template:
            databases.drop(control, name)


def _publish(control: Connection, plan: SeedPlan) -> None:
    """Close it to connections, so that nothing can change it; then, as the last step, mark it complete."""
    databases.alter(
        control,
        plan.template,
        sql.SQL("WITH IS_TEMPLATE true ALLOW_CONNECTIONS false CONNECTION LIMIT -1"),
    )
    databases.set_mark(control, plan.template, Mark(Kind.TEMPLATE, str(plan)))


def _checkpoint(control: Connection) -> None:
    # Committed data is durable without a checkpoint; with one, no run pays for writing the seed to disk. A
    # server that does not let us request one still makes one when the template is copied.
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        control.execute("CHECKPOINT")


def _check_room(server: Server, plan: SeedPlan) -> None:
    free, needed = server.free_bytes(), ROOM_FLOOR_BYTES + round(ROOM_BYTES * plan.scale)
    if free is not None and free < needed:
        raise EnvironmentNotReady(
            f"not enough disk for the data ({plan}): {needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free",
            next_command="free disk space, or choose a smaller --scale",
        )


@contextlib.contextmanager
def _timed(step: str, tell: OnProgress) -> Iterator[None]:
    begun = time.monotonic()
    tell(Preparing(step=step))
    yield
    tell(Preparing(step=step, seconds=time.monotonic() - begun))
