"""A fresh copy of the seeded data for every run: the server copies the template's files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from psycopg import errors, sql

from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres import databases
from vcpu_ladder.postgres.connect import Connection, session
from vcpu_ladder.postgres.databases import PREFIX, Kind, Mark
from vcpu_ladder.postgres.plan import SeedPlan
from vcpu_ladder.postgres.seed import template_ready
from vcpu_ladder.postgres.server import Server
from vcpu_ladder.postgres.trouble import in_clear_words
from vcpu_ladder.postgres.verify import database_bytes, verify_rows

RUN_DATABASE = f"{PREFIX}run"


@dataclass(frozen=True)
class RestoreReport:
    """A restored database. ``method`` is ``clone`` (copy_file_range, shared extents where the file system
    has them) or ``copy``; ``seconds`` spans dropping, copying, flushing and counting."""

    database: str
    template: str
    method: str
    seconds: float
    rows: dict[str, int]


def restore(
    server: Server,
    plan: SeedPlan,
    database: str = RUN_DATABASE,
    waits_for: Callable[[str], None] = lambda _: None,
) -> RestoreReport:
    """Drop ``database``, which has to be ours, and create it again from the plan's template.

    Nobody can connect to the template, so the copy cannot contain writes of an earlier run; rows and
    sequences are still counted. ``waits_for`` is called with each part before it begins. Raises
    EnvironmentNotReady: no such template, the database is not ours, no room, counts that differ.
    """
    begun = time.monotonic()
    with databases.exclusive(server) as control:
        if not template_ready(control, plan):
            raise EnvironmentNotReady(
                f"the data ({plan}) has not been seeded on this server",
                next_command=f"python -m vcpu_ladder.postgres seed {plan.arguments}",
            )
        waits_for("dropping the previous run's data")
        databases.drop(control, database)
        databases.drop_unfinished(control)
        size = database_bytes(control, plan.template)
        _check_room(server, size)
        waits_for(f"copying {size / 1e9:.2f} GB of data")
        with in_clear_words(server, f"copying the data ({plan})"):
            method = _copy(control, plan, database)
        waits_for("counting rows")
        with session(server.url(database)) as connection:
            rows = verify_rows(connection, plan)
        databases.alter(control, database, sql.SQL("WITH CONNECTION LIMIT -1"))
        databases.set_mark(control, database, Mark(Kind.RUN, str(plan)))
    return RestoreReport(database, plan.template, method, time.monotonic() - begun, rows)


def _copy(control: Connection, plan: SeedPlan, database: str) -> str:
    """Copy files, not through the WAL: 2 GB of WAL would be flushed during the run that follows."""
    options = sql.SQL("TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(plan.template))
    mark = Mark(Kind.UNFINISHED, str(plan))
    # A server before 18, or one built without clone, refuses it; InternalError comes from the file system.
    refusals = (errors.UndefinedObject, errors.InvalidParameterValue, errors.InternalError_)
    with contextlib.suppress(*refusals):
        control.execute("SET file_copy_method = 'clone'")
        databases.create(control, database, options, mark)
        return "clone"
    with contextlib.suppress(errors.UndefinedObject):
        control.execute("RESET file_copy_method")
    databases.create(control, database, options, mark)
    return "copy"


def _check_room(server: Server, size: int) -> None:
    free = server.free_bytes()
    if free is not None and free < size + 50_000_000:
        raise EnvironmentNotReady(
            f"not enough disk for a run's data: {size / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free",
            next_command="free disk space",
        )
