"""``climb`` and ``run``: measure stages, then print their rows."""

from __future__ import annotations

from typing import Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, out, say
from vcpu_ladder.commands.measuring import measure
from vcpu_ladder.commands.options import RunOptions, stage_name, with_run_options
from vcpu_ladder.ladder.durations import show_duration
from vcpu_ladder.ladder.resolve import resolve, resolve_all
from vcpu_ladder.run.plan import interleaved, loaded_s
from vcpu_ladder.summary.formats.terminal import print_rows
from vcpu_ladder.summary.merge import merge

climbing = typer.Typer()


@climbing.command("climb")
@ends_well
@with_run_options
def climb_command(
    options: RunOptions,
    ladder: Annotated[str, typer.Argument(help="A ladder's name, or the path of a .toml file.")],
    stages: Annotated[
        str | None, typer.Option(help="Only these stages, comma-separated.", envvar="STAGES")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every stage, not only those in climb = [...].")
    ] = False,
) -> None:
    """Run a ladder's stages, interleaved and repeated, then print the comparison table.

    Example: vcpu-ladder climb main --stages v1,v2 --measure 10s --repeats 5
    """
    loaded = options.ladder(ladder)
    resolve_all(loaded)
    wanted = list(loaded.stages) if every else list(loaded.climb)
    if stages:
        wanted = [stage.strip() for stage in stages.split(",")]
    load, repeats = options.load(loaded), options.repeats_of(loaded.repeats)
    plan = interleaved([resolve(loaded, stage, load) for stage in wanted], repeats, paths.RESULTS)
    say(
        f"{loaded.title}\n{load.describe()}; {len(wanted)} stages x {repeats} repeats: "
        f"{show_duration(loaded_s(plan.jobs))} of load"
    )
    measured = measure(plan, options.environment)
    print_rows([row for row in merge(measured.comparable) if row.stage in wanted], out)
    measured.complain()


@climbing.command("run")
@ends_well
@with_run_options
def run_command(
    options: RunOptions,
    stage: Annotated[str, typer.Argument(help="LADDER/STAGE, for example main/v2.")],
) -> None:
    """Run one stage, and print its row beside its parent's latest comparable record.

    Example: vcpu-ladder run main/v2 --measure 10s
    """
    name, stage_id = stage_name(stage)
    loaded = options.ladder(name)
    resolved = resolve(loaded, stage_id, options.load(loaded))
    plan = interleaved([resolved], options.repeats_of(1), paths.RESULTS)
    say(f"{resolved.name}: {resolved.load.describe()}")
    measured = measure(plan, options.environment)
    kept = {stage_id, resolved.parent}
    print_rows([row for row in merge(measured.comparable) if row.stage in kept], out)
    folder = paths.RESULTS / loaded.name / stage_id / measured.records[-1].run_id
    out.print(f"record: {folder}", soft_wrap=True)
    measured.complain()
