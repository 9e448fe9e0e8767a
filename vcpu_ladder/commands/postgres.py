"""``python -m vcpu_ladder.postgres seed | restore | checksum``: the data alone, without a ladder.

On the server that ``DATABASE_URL`` names, else on the native one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, out, say
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.commands.progress import Progress
from vcpu_ladder.environments.base import Environment, SeedsPostgres
from vcpu_ladder.environments.registry import find, names
from vcpu_ladder.errors import UsageError
from vcpu_ladder.postgres.connect import session
from vcpu_ladder.postgres.plan import Layout, SeedPlan
from vcpu_ladder.postgres.restore import RUN_DATABASE, restore
from vcpu_ladder.postgres.seed import SeedReport, seed, seed_native
from vcpu_ladder.postgres.server import ExternalServer, NativeServer, Server
from vcpu_ladder.postgres.steps import OnProgress
from vcpu_ladder.postgres.verify import checksums

app = typer.Typer(
    help="The shop's data in PostgreSQL.",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

Scale = Annotated[float, typer.Option(help="1.0 is 1M users, 100k products, 5M orders, 10M order items.")]
Seed = Annotated[int, typer.Option(help="Another seed gives other rows with the same distributions.")]
LayoutOption = Annotated[
    Layout, typer.Option(help="published: only the first fifth of the orders have items.")
]
Home = Annotated[Path, typer.Option(help="The native server's files.")]
Port = Annotated[int, typer.Option(envvar="POSTGRES_PORT", help="The native server's port on 127.0.0.1.")]
Url = Annotated[str | None, typer.Option(envvar="DATABASE_URL", show_envvar=True, hidden=True)]

DEFAULT_HOME = paths.DATA / "postgres"
DEFAULT_PORT = 15432


@app.command("seed")
@ends_well
def seed_command(
    scale: Scale = 1.0,
    seed_number: Annotated[int, typer.Option("--seed")] = 1,
    layout: LayoutOption = Layout.SPREAD,
    anew: Annotated[bool, typer.Option("--anew", help="Rebuild data that is already there.")] = False,
    home: Home = DEFAULT_HOME,
    port: Port = DEFAULT_PORT,
    database_url: Url = None,
    environment: Annotated[str | None, typer.Option(help=f"{names()}.", envvar="ENVIRONMENT")] = None,
) -> None:
    """Make the template that every run's data is copied from; quick if it exists already."""
    plan = SeedPlan(scale, seed_number, layout)
    with Progress() as tell:
        if database_url:
            say("DATABASE_URL's server")
            report = seed(ExternalServer.check(database_url), plan, tell, anew)
        else:
            found, why = find(environment or None)
            say(why)
            if found.name == "native":  # its server's files and port are options of this command
                report = seed_native(home, port, plan, tell, anew=anew)
            else:
                report = _seed_in(found.make(), plan, tell, anew)
    for name, value in report.settings_not_in_force.items():
        say(
            f"the server keeps {name} = {value}, which a session cannot set: loading was slower because of it"
        )
    out.print(_outcome(report), soft_wrap=True)


def _seed_in(environment: Environment, plan: SeedPlan, tell: OnProgress, anew: bool) -> SeedReport:
    if not isinstance(environment, SeedsPostgres):
        raise UsageError(
            f"the {environment.kind} environment has no PostgreSQL that can be seeded on its own"
        )
    with only_one():
        return environment.seed(plan, tell, anew)


@app.command("restore")
@ends_well
def restore_command(
    scale: Scale = 1.0,
    seed_number: Annotated[int, typer.Option("--seed")] = 1,
    layout: LayoutOption = Layout.SPREAD,
    database: Annotated[str, typer.Option(help="Dropped and created again.")] = RUN_DATABASE,
    home: Home = DEFAULT_HOME,
    port: Port = DEFAULT_PORT,
    database_url: Url = None,
) -> None:
    """Copy the template into a run's database, as every run does."""
    with _server(home, port, database_url) as server:
        report = restore(server, SeedPlan(scale, seed_number, layout), database, say)
    out.print(
        f"{report.database} restored from {report.template} in {report.seconds:.1f} s ({report.method})",
    )


@app.command("checksum")
@ends_well
def checksum_command(
    database: Annotated[str, typer.Option()] = RUN_DATABASE,
    home: Home = DEFAULT_HOME,
    port: Port = DEFAULT_PORT,
    database_url: Url = None,
) -> None:
    """One line per table: its row count and the sum of all row hashes."""
    with _server(home, port, database_url) as server, session(server.url(database)) as connection:
        for table, value in checksums(connection).items():
            out.print(f"{table} {value}")


@contextmanager
def _server(home: Path, port: int, database_url: str | None) -> Iterator[Server]:
    if database_url:
        yield ExternalServer.check(database_url)
        return
    with NativeServer.start(home, port) as server:
        yield server


def _outcome(report: SeedReport) -> str:
    if report.already_there:
        return f"{report.template} ({report.plan}) is there already"
    rows = ", ".join(f"{count:,} {table}" for table, count in report.plan.rows.items())
    return f"{report.template} ({report.plan}): {rows} in {report.seconds:.1f} s"
