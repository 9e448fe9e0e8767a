"""The command line. With ``cli_reading`` and ``console`` the only code that prints for people and exits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands import replicate as cli_replicate
from vcpu_ladder.commands import serve as cli_serve
from vcpu_ladder.commands.audit import auditing
from vcpu_ladder.commands.console import ends_well, err, out, print_progress
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.commands.progress import Progress
from vcpu_ladder.commands.reading import reading, tell_cleaned, write_summary
from vcpu_ladder.commands.stack import stack
from vcpu_ladder.environments.base import Environment
from vcpu_ladder.environments.registry import choose
from vcpu_ladder.errors import EnvironmentNotReady, RunInvalid, UsageError
from vcpu_ladder.ladder.durations import parse_duration, show_duration
from vcpu_ladder.ladder.load import LoadProfile
from vcpu_ladder.ladder.reader import Ladder, load_ladder
from vcpu_ladder.ladder.resolve import ResolvedStage, resolve, resolve_all
from vcpu_ladder.ladder.scale import Scale
from vcpu_ladder.ladder.sizes import sized
from vcpu_ladder.records.record import RunRecord, load_records
from vcpu_ladder.run.climb import climb as climb_jobs
from vcpu_ladder.run.climb import loaded_s, schedule
from vcpu_ladder.run.stage import Job
from vcpu_ladder.summary.merge import Setting, merge
from vcpu_ladder.summary.terminal import print_rows

app = typer.Typer(
    help="Climb a ladder of one-change stages with a FastAPI service on one vCPU: what does each change buy?",
    epilog="First: vcpu-ladder doctor. Then: vcpu-ladder climb main. Exit codes: 0 done, 1 bug, 2 usage or "
    "ladder file, 3 environment not ready, 4 a run invalid, 5 not comparable, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(reading)
app.add_typer(stack)
app.add_typer(auditing)

Warmup = Annotated[str | None, typer.Option(help="Warm-up, outside the figures: 15s, 1m.", envvar="WARMUP")]
Measure = Annotated[str | None, typer.Option(help="Measured time of each run: 30s, 2m.", envvar="MEASURE")]
Users = Annotated[str | None, typer.Option(help="Users of the closed model.", envvar="USERS")]
Data = Annotated[
    str | None,
    typer.Option(
        "--scale", help="Size of the data: 1.0 is 1M users, 5M orders; the ladder's own.", envvar="SCALE"
    ),
]
Repeats = Annotated[str | None, typer.Option(help="Fresh runs of each stage, interleaved.", envvar="REPEATS")]
Full = Annotated[
    bool, typer.Option("--full", help="The published sizes, where the ladder has them.", envvar="FULL")
]
Where = Annotated[str | None, typer.Option("--environment", help="compose or native.", envvar="ENVIRONMENT")]


@app.command("climb")
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
    loaded = _ladder(ladder, scale, full)
    resolve_all(loaded)
    wanted = (
        [stage.strip() for stage in stages.split(",")]
        if stages
        else (list(loaded.stages) if every else list(loaded.climb))
    )
    load = _load(loaded, warmup, measure, users)
    count = _whole("repeats", repeats, loaded.repeats)
    resolved = [resolve(loaded, stage, load) for stage in wanted]
    jobs = schedule(resolved, count, paths.RESULTS)
    err.print(
        f"{loaded.title}\n{load.describe()}; {len(wanted)} stages x {count} repeats: "
        f"{show_duration(loaded_s(jobs))} of load",
        highlight=False,
    )
    with only_one():
        tell_cleaned()
        chosen = _environment(environment)
        chosen.prepare([job.stage for job in jobs], print_progress)
        with Progress(err, len(jobs)) as progress:
            records = _climb(jobs, chosen, progress)
    print_rows([row for row in merge(_same_settings(records)) if row.stage in wanted], out)
    _complain_about(records)


@app.command("run")
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
    name, stage_id = _names(stage)
    loaded = _ladder(name, scale, full)
    resolved = resolve(loaded, stage_id, _load(loaded, warmup, measure, users))
    jobs = schedule([resolved], _whole("repeats", repeats, 1), paths.RESULTS)
    err.print(f"{resolved.name}: {resolved.load.describe()}", highlight=False)
    with only_one():
        tell_cleaned()
        chosen = _environment(environment)
        chosen.prepare([job.stage for job in jobs], print_progress)
        with Progress(err, len(jobs)) as progress:
            records = _climb(jobs, chosen, progress)
    kept = {stage_id, resolved.stage.parent}
    print_rows([row for row in merge(_same_settings(records)) if row.stage in kept], out)
    out.print(
        f"record: {paths.RESULTS / loaded.name / stage_id / records[-1].run_id}",
        highlight=False,
        soft_wrap=True,
    )
    _complain_about(records)


def _names(stage: str) -> tuple[str, str]:
    name, _, stage_id = stage.rpartition("/")
    if not name or not stage_id:
        raise UsageError(
            f"{stage!r} is not LADDER/STAGE, for example main/v2", next_command="vcpu-ladder list"
        )
    return name, stage_id


def _stage(text: str, full: bool) -> ResolvedStage:
    name, stage_id = _names(text)
    return resolve(_ladder(name, None, full), stage_id)


def _ladder(name: str, scale: str | None, full: bool) -> Ladder:
    path = Path(name) if name.endswith(".toml") else paths.LADDERS / f"{name}.toml"
    loaded = sized(load_ladder(path), "full") if full else load_ladder(path)
    if scale is None:
        return loaded
    try:
        return replace(loaded, scale=Scale(float(scale)))
    except ValueError:
        raise UsageError(
            f"SCALE = {scale!r} is not allowed: a number above 0, at most 1", next_command="--scale 0.01"
        ) from None


def _whole(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError(f"{name.upper()} = {text!r} is not a whole number of at least 1")
    return int(text)


def _load(ladder: Ladder, warmup: str | None, measure: str | None, users: str | None) -> LoadProfile:
    changes: dict[str, Any] = {}
    for name, field, text in (("WARMUP", "warmup_s", warmup), ("MEASURE", "measure_s", measure)):
        if text is not None:
            try:
                changes[field] = parse_duration(text)
            except ValueError as error:
                raise UsageError(f"{name}: {error}") from None
    if users is not None:
        if ladder.load.model != "closed":
            raise UsageError(f"USERS: the open model of {ladder.path} has a rate, not users")
        changes["users"] = _whole("users", users, 1)
    try:
        return replace(ladder.load, **changes)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _climb(jobs: Sequence[Job], environment: Environment, progress: Progress) -> list[RunRecord]:
    """The climb; the summary is written however it ends."""
    try:
        return climb_jobs(jobs, environment, progress)
    finally:
        write_summary()


def _environment(name: str | None) -> Environment:
    environment, why = choose(name or None)
    err.print(why, highlight=False, soft_wrap=True)
    return environment


def _same_settings(records: Sequence[RunRecord]) -> list[RunRecord]:
    """All records so far that may be compared with these."""
    wanted = {Setting.of(record) for record in records}
    everything, _ = load_records(paths.RESULTS)
    return [record for record in everything if Setting.of(record) in wanted]


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


cli_replicate.register(app, _environment)
cli_serve.register(app, _stage, _environment)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
