"""``replay``: what a finished climb reported while it ran, from its ``events.jsonl``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well
from vcpu_ladder.commands.progress import Progress
from vcpu_ladder.errors import UsageError
from vcpu_ladder.records.events import CLIMBS, EVENTS, Planned, read_events

replaying = typer.Typer()


@replaying.command("replay")
@ends_well
def replay_command(
    climb: Annotated[str, typer.Argument(help="A ladder (its newest climb), a climb's id, or a file.")],
    speed: Annotated[
        float, typer.Option(min=0, help="How many times as fast as it was; 0 does not wait at all.")
    ] = 0.0,
    results: Annotated[Path | None, typer.Option(help="Where the records are.")] = None,
) -> None:
    """Show a finished climb as it was shown live. Measures nothing.

    Example: vcpu-ladder replay main --speed 60
    """
    path = _find(climb, results or paths.RESULTS)
    before_s = None
    with Progress() as tell:
        for line in read_events(path):
            if speed > 0 and before_s is not None:
                time.sleep(max(0.0, line.elapsed_s - before_s) / speed)
            before_s = line.elapsed_s
            tell(line.told)


def _find(climb: str, results: Path) -> Path:
    """The climb's file. Raises UsageError naming the existing climbs."""
    if Path(climb).is_file():
        return Path(climb)
    there = sorted((results / CLIMBS).glob(f"*/{EVENTS}"))
    named = [path for path in there if path.parent.name == climb]
    of_ladder = [path for path in there if climb in _ladders(path)]
    if not named and not of_ladder:
        known = ", ".join(path.parent.name for path in there[-5:]) or "none"
        raise UsageError(
            f"no climb {climb!r} in {results / CLIMBS}; the newest there: {known}",
            next_command="vcpu-ladder climb main",
        )
    return (named or of_ladder)[-1]


def _ladders(path: Path) -> set[str]:
    """The ladders that the climb's plan names."""
    for line in read_events(path):
        if isinstance(line.told, Planned):
            return {run.stage.partition("/")[0] for run in line.told.runs}
    return set()
