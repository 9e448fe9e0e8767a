"""``vcpu-ladder serve``: a stage's service and upstream, for other people's load: a study's own script."""

from __future__ import annotations

import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from vcpu_ladder.commands.console import ends_well, err, out, say
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.commands.measuring import tell_cleaned
from vcpu_ladder.commands.options import environment_of, stage_of
from vcpu_ladder.commands.progress import Progress
from vcpu_ladder.environments.base import Stack
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.run.prove import discover_workers, prove, unproven_reason, upstream_in_force

serving = typer.Typer()


@serving.command("serve")
@ends_well
def serve_command(
    stage: Annotated[str, typer.Argument(help="LADDER/STAGE, for example sleep/sync-w1.")],
    full: Annotated[bool, typer.Option("--full", help="The published sizes.", envvar="FULL")] = False,
    environment: Annotated[
        str | None, typer.Option("--environment", help="As for climb.", envvar="ENVIRONMENT")
    ] = None,
) -> None:
    """Start a stage, prove its knobs, and serve until Ctrl-C: point a study's own load script at it.

    Nothing is measured or recorded. Example: vcpu-ladder serve tasks/sync
    """
    resolved = stage_of(stage, full)
    chosen = environment_of(environment)
    with only_one(), tempfile.TemporaryDirectory(prefix="vcpu-ladder-serve-") as folder:
        tell_cleaned()
        chosen.check_ready()
        with Progress() as progress:
            chosen.prepare([resolved], progress)
        try:
            stack = chosen.up(resolved, f"serve-{secrets.token_hex(3)}", Path(folder), say)
            _prove(resolved, stack, bool(chosen.describe().get("pinned")))
            out.print(f"{resolved.name} serves on {stack.service_url}", soft_wrap=True)
            err.print("Ctrl-C ends it")
            with suppress(KeyboardInterrupt):  # here Ctrl-C is the normal way to end
                _wait(stack)
        finally:
            chosen.down()


def _prove(stage: ResolvedStage, stack: Stack, pinned: bool) -> None:
    workers = discover_workers(stack.service_url, int(stage.knobs["workers"]))
    in_force = upstream_in_force(stack.upstream_url)
    wrong = unproven_reason(prove(stage, workers, in_force, pinned, stack.activity()))
    if wrong is not None:
        raise EnvironmentNotReady(f"unproven: {wrong}")


def _wait(stack: Stack) -> None:
    while True:
        ended = stack.died()
        if ended is not None:
            raise EnvironmentNotReady(ended)
        time.sleep(0.5)
