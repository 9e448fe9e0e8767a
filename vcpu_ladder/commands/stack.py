"""The commands that manage the Compose stack: up, down, reset-db."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, err, out
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import resolve

if TYPE_CHECKING:
    from vcpu_ladder.environments.compose.project import Project

stack = typer.Typer()

_OBSERVERS = {
    "grafana": ("GRAFANA_PORT", "3000"),
    "prometheus": ("PROMETHEUS_PORT", "9090"),
    "postgres-exporter": None,
}
# Not Prometheus: it tells a run that this is the stack of `up` and not the remains of a killed run.
_OPTIONAL = ("grafana", "postgres-exporter")


@stack.command("up")
@ends_well
def up_command(
    without: Annotated[list[str] | None, typer.Option(help="Leave out grafana or postgres-exporter.")] = None,
) -> None:
    """Start the whole Compose stack: service, upstream, PostgreSQL, Prometheus and Grafana.

    Example: vcpu-ladder up
    """
    unknown = sorted(set(without or ()) - set(_OPTIONAL))
    if unknown:
        raise UsageError(f"--without {unknown[0]}: only {' and '.join(_OPTIONAL)} can be left out")
    watching = [name for name in _OBSERVERS if name not in (without or ())]
    with only_one():
        project = _project()
        try:
            _bring_up(project, watching)
        except BaseException:
            project.down()  # the next run would mistake half a stack for a whole one
            raise
    out.print(f"service     http://127.0.0.1:{project.ports.service}/docs")
    out.print(f"upstream    http://127.0.0.1:{project.ports.upstream}/")
    out.print(f"postgres    127.0.0.1:{project.ports.postgres}, password in .env")
    for name in watching:
        place = _OBSERVERS[name]
        if place is not None:
            port = project.observer_port(*place)
            out.print(f"{name:<11} http://127.0.0.1:{port}")


def _project() -> Project:
    # Imported here and below, so that every other command starts without Compose.
    from vcpu_ladder.environments.compose.engine import Engine
    from vcpu_ladder.environments.compose.project import Project

    return Project(Engine.find())


def _bring_up(project: Project, watching: list[str]) -> None:
    from vcpu_ladder.environments.compose import data as compose_data

    ladder = load_ladder(paths.LADDERS / "main.toml")
    stage = resolve(ladder, ladder.climb[0])
    config = project.config()
    _say("images: pulled or built where missing")
    project.fetch(["postgres", *watching], config)
    project.build()
    project.share_cpus(project.split(1), pinned=True, budget=1)
    _say("PostgreSQL and the upstream")
    compose_data.start_postgres(project)
    project.start("mock")
    _say("the service, with the shop's data in SQLite")
    project.remove("api")
    project.compose("up", "--no-start", "--no-build", "--no-deps", "api")
    (api,) = project.containers("api")
    compose_data.copy_sqlite(stage, paths.DATA, api)
    project.start("api")
    if watching:
        _say(", ".join(watching))
        project.start(*watching)


@stack.command("down")
@ends_well
def down_command() -> None:
    """Remove the stack's containers and network, also a killed run's. The data stays in its volumes."""
    with only_one():
        project = _project()
        project.down()
    out.print(f"{project.name} is down; its data is kept (make reset-db removes it)")


@stack.command("reset-db")
@ends_well
def reset_command() -> None:
    """Remove PostgreSQL's volume, templates included; make seed-db creates it again."""
    from vcpu_ladder.environments.compose import data as compose_data

    with only_one():
        project = _project()
        compose_data.stop_postgres(project)
        there = project.drop_volume(compose_data.VOLUME)
    out.print("PostgreSQL's volume is removed" if there else "there was no PostgreSQL volume")


def _say(text: str) -> None:
    err.print(text, soft_wrap=True)
