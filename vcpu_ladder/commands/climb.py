"""``climb`` and ``run``: stages measured, then their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, err, out, print_progress
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.commands.options import (
    Data,
    Full,
    Measure,
    Repeats,
    Users,
    Warmup,
    Where,
    environment_of,
    ladder_of,
    load_of,
    stage_name,
    whole,
)
from vcpu_ladder.commands.progress import Progress
from vcpu_ladder.commands.summary import tell_cleaned, write_summary
from vcpu_ladder.environments.base import Environment
from vcpu_ladder.errors import EnvironmentNotReady, RunInvalid
from vcpu_ladder.ladder.durations import show_duration
from vcpu_ladder.ladder.resolve import resolve, resolve_all
from vcpu_ladder.records.key import ComparisonKey
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.records.store import load_records
from vcpu_ladder.run.climb import climb as climb_jobs
from vcpu_ladder.run.climb import loaded_s, schedule
from vcpu_ladder.run.recording import Job
from vcpu_ladder.summary.formats.terminal import print_rows
from vcpu_ladder.summary.merge import merge

climbing = typer.Typer()


@climbing.command("climb")
@ends_well
def climb_command(
    ladder: Annotated[str, typer.Argument(help="A ladder's name, or the path of a .toml file.")],
    stages: Annotated[
        str | None, typer.Option(help="Only these stages, comma-separated.", envvar="STAGES")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every stage, not only the ones of climb = [...].")
    ] = False,
    warmup: Warmup = None,
    measure: Measure = None,
    users: Users = None,
    scale: Data = None,
    repeats: Repeats = None,
    full: Full = False,
    environment: Where = None,
) -> None:
    """Run a ladder's stages, interleaved and repeated, then print the comparison table.

    Example: vcpu-ladder climb main --stages v1,v2 --measure 10s --repeats 5
    """
    loaded = ladder_of(ladder, scale, full)
    resolve_all(loaded)
    wanted = (
        [stage.strip() for stage in stages.split(",")]
        if stages
        else (list(loaded.stages) if every else list(loaded.climb))
    )
    load = load_of(loaded, warmup, measure, users)
    count = whole("repeats", repeats, loaded.repeats)
    resolved = [resolve(loaded, stage, load) for stage in wanted]
    jobs = schedule(resolved, count, paths.RESULTS)
    err.print(
        f"{loaded.title}\n{load.describe()}; {len(wanted)} stages x {count} repeats: "
        f"{show_duration(loaded_s(jobs))} of load",
        highlight=False,
    )
    with only_one():
        tell_cleaned()
        chosen = environment_of(environment)
        chosen.prepare([job.stage for job in jobs], print_progress)
        with Progress(err, len(jobs)) as progress:
            records = _climb(jobs, chosen, progress)
    print_rows([row for row in merge(_comparable(records)) if row.stage in wanted], out)
    _complain_about(records)


@climbing.command("run")
@ends_well
def run_command(
    stage: Annotated[str, typer.Argument(help="LADDER/STAGE, for example main/v2.")],
    warmup: Warmup = None,
    measure: Measure = None,
    users: Users = None,
    scale: Data = None,
    repeats: Repeats = None,
    full: Full = False,
    environment: Where = None,
) -> None:
    """Run one stage, and print its row beside its parent's latest comparable record.

    Example: vcpu-ladder run main/v2 --measure 10s
    """
    name, stage_id = stage_name(stage)
    loaded = ladder_of(name, scale, full)
    resolved = resolve(loaded, stage_id, load_of(loaded, warmup, measure, users))
    jobs = schedule([resolved], whole("repeats", repeats, 1), paths.RESULTS)
    err.print(f"{resolved.name}: {resolved.load.describe()}", highlight=False)
    with only_one():
        tell_cleaned()
        chosen = environment_of(environment)
        chosen.prepare([job.stage for job in jobs], print_progress)
        with Progress(err, len(jobs)) as progress:
            records = _climb(jobs, chosen, progress)
    kept = {stage_id, resolved.parent}
    print_rows([row for row in merge(_comparable(records)) if row.stage in kept], out)
    out.print(
        f"record: {paths.RESULTS / loaded.name / stage_id / records[-1].run_id}",
        highlight=False,
        soft_wrap=True,
    )
    _complain_about(records)


def _climb(jobs: Sequence[Job], environment: Environment, progress: Progress) -> list[RunRecord]:
    """The climb; the summary is written however it ends."""
    try:
        return climb_jobs(jobs, environment, progress)
    finally:
        write_summary()


def _comparable(records: Sequence[RunRecord]) -> list[RunRecord]:
    """All records so far that may be compared with these."""
    wanted = {ComparisonKey.of(record) for record in records}
    everything, _ = load_records(paths.RESULTS)
    return [record for record in everything if ComparisonKey.of(record) in wanted]


def _complain_about(records: Sequence[RunRecord]) -> None:
    bad = [record for record in records if not record.valid]
    if not bad:
        return
    first = bad[0]
    reason = (first.reason or "").splitlines() or [""]
    # Nothing could be started at all: that is the environment's fault, not a run's.
    kind = EnvironmentNotReady if all(record.status == "failed" for record in bad) else RunInvalid
    raise kind(
        f"{len(bad)} of {len(records)} runs may not be ranked; first: {first.ladder}/{first.stage} "
        f"{first.status}: {reason[0]}",
        "\n".join(reason[1:]) or None,
        next_command=f"read {paths.RESULTS / first.ladder / first.stage / first.run_id}",
    )
