"""The command line: the only module that prints for people and exits the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vcpu_ladder import paths
from vcpu_ladder.climb import climb as climb_jobs
from vcpu_ladder.climb import loaded_s, schedule
from vcpu_ladder.console import ends_well, err, out
from vcpu_ladder.doctor import examine
from vcpu_ladder.durations import parse_duration, show_duration
from vcpu_ladder.environments.base import Environment
from vcpu_ladder.environments.native import NativeEnvironment
from vcpu_ladder.errors import EnvironmentNotReady, NotComparable, RunInvalid, UsageError
from vcpu_ladder.guard import clean_up, only_one
from vcpu_ladder.ladder import Ladder, ladders_in, load_ladder
from vcpu_ladder.load import LoadProfile
from vcpu_ladder.progress import Progress
from vcpu_ladder.record import RunRecord, load_records, write_atomically
from vcpu_ladder.resolve import resolve, resolve_all
from vcpu_ladder.run.stage import Job
from vcpu_ladder.summary.documents import rewrite
from vcpu_ladder.summary.export import knobs_table, show_ratio, write_all
from vcpu_ladder.summary.merge import Row, Setting, merge, newest
from vcpu_ladder.summary.stats import ratio
from vcpu_ladder.summary.terminal import print_rows

app = typer.Typer(
    help="Climb a ladder of one-change stages with a FastAPI service on one vCPU: what does each change buy?",
    epilog="First: vcpu-ladder doctor. Then: vcpu-ladder climb main. Exit codes: 0 done, 1 bug, 2 usage or "
    "ladder file, 3 environment not ready, 4 a run invalid, 5 not comparable, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ENVIRONMENTS: dict[str, Callable[[], Environment]] = {"native": NativeEnvironment}

Warmup = Annotated[str | None, typer.Option(help="Warm-up, outside the figures: 15s, 1m.", envvar="WARMUP")]
Measure = Annotated[str | None, typer.Option(help="Measured time of each run: 30s, 2m.", envvar="MEASURE")]
Users = Annotated[str | None, typer.Option(help="Users of the closed model.", envvar="USERS")]
Repeats = Annotated[str | None, typer.Option(help="Fresh runs of each stage, interleaved.", envvar="REPEATS")]
Where = Annotated[str | None, typer.Option("--environment", help="native.", envvar="ENVIRONMENT")]


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
    repeats: Repeats = None,
    environment: Where = None,
) -> None:
    """Run a ladder's stages, interleaved and repeated, then print the comparison table.

    Example: vcpu-ladder climb main --stages v1,v2 --measure 10s --repeats 5
    """
    loaded = _ladder(ladder)
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
        _tell_cleaned()
        with Progress(err, len(jobs)) as progress:
            records = _climb(jobs, environment, progress)
    print_rows([row for row in merge(_same_settings(records)) if row.stage in wanted], out)
    _complain_about(records)


@app.command("run")
@ends_well
def run_command(
    stage: Annotated[str, typer.Argument(help="LADDER/STAGE, for example main/v2.")],
    warmup: Warmup = None,
    measure: Measure = None,
    users: Users = None,
    repeats: Repeats = None,
    environment: Where = None,
) -> None:
    """Run one stage, and print its row beside its parent's latest comparable record.

    Example: vcpu-ladder run main/v2 --measure 10s
    """
    name, _, stage_id = stage.rpartition("/")
    if not name or not stage_id:
        raise UsageError(
            f"{stage!r} is not LADDER/STAGE, for example main/v2", next_command="vcpu-ladder list"
        )
    loaded = _ladder(name)
    resolved = resolve(loaded, stage_id, _load(loaded, warmup, measure, users))
    jobs = schedule([resolved], _whole("repeats", repeats, 1), paths.RESULTS)
    err.print(f"{resolved.name}: {resolved.load.describe()}", highlight=False)
    with only_one():
        _tell_cleaned()
        with Progress(err, len(jobs)) as progress:
            records = _climb(jobs, environment, progress)
    kept = {stage_id, resolved.stage.parent}
    print_rows([row for row in merge(_same_settings(records)) if row.stage in kept], out)
    out.print(
        f"record: {paths.RESULTS / loaded.name / stage_id / records[-1].run_id}",
        highlight=False,
        soft_wrap=True,
    )
    _complain_about(records)


@app.command("summary")
@ends_well
def summary_command(
    results: Annotated[Path | None, typer.Option(help="Where the records are; results/ by default.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Older settings too, not only the newest.")
    ] = False,
) -> None:
    """Merge all records into summary.md, .csv, .json and this terminal.

    Example: vcpu-ladder summary --results results/reference
    """
    folder = results or paths.RESULTS
    _clean_if_idle()
    rows = _write_summary(folder)
    if not rows:
        raise UsageError(f"no records below {folder}", next_command="make stage-v1")
    shown = rows if everything else newest(rows)
    print_rows(shown, out)
    if len(shown) < len(rows):
        err.print(f"{len(rows) - len(shown)} rows of older settings are in summary.csv; --all shows them")


@app.command("compare")
@ends_well
def compare_command(
    first: Annotated[str, typer.Argument(help="LADDER/STAGE.")],
    second: Annotated[str, typer.Argument(help="LADDER/STAGE of the same ladder.")],
    results: Annotated[Path | None, typer.Option(help="Where the records are.")] = None,
) -> None:
    """Throughput of one stage over another's, with its interval, from comparable records only.

    Example: vcpu-ladder compare main/v6 main/v6-threads
    """
    records, _ = load_records(results or paths.RESULTS)
    rows = merge(records)
    ours = _newest_row(rows, first)
    theirs = next((row for row in rows if _name(row) == second and row.setting == ours.setting), None)
    if theirs is None:
        differing = ours.setting.differences(_newest_row(rows, second).setting)
        raise NotComparable(
            f"{first} and {second} have no records of the same setting: {differing}",
            next_command="vcpu-ladder climb LADDER --stages FIRST,SECOND",
        )
    found = ratio(ours.blocks, theirs.blocks)
    if found is None:
        raise NotComparable(f"{first} or {second} has no valid run: there is no ratio")
    how = "paired by repeat" if found.paired else "unpaired"
    out.print(
        f"{first} / {second}: {show_ratio(found)}, {found.verdict}; {ours.n} and {theirs.n} runs, {how}",
        highlight=False,
        soft_wrap=True,
    )


@app.command("list")
@ends_well
def list_command() -> None:
    """All ladders and their stages, each with its one change."""
    for path in ladders_in(paths.LADDERS):
        loaded = load_ladder(path)
        resolve_all(loaded)
        out.print(
            f"{loaded.name}: {loaded.title} ({loaded.load.describe()})", highlight=False, soft_wrap=True
        )
        for stage in loaded.stages.values():
            change = f"{stage.parent} + {stage.change}" if stage.change else "baseline"
            mark = "" if stage.id in loaded.climb else " (beside)"
            out.print(f"  {stage.id}{mark}: {change}: {stage.title}", highlight=False, soft_wrap=True)


@app.command("knobs")
@ends_well
def knobs_command() -> None:
    """Every knob a stage may change: allowed values, default, and what it does (a Markdown table)."""
    out.print(knobs_table(), end="", highlight=False, markup=False, soft_wrap=True)


@app.command("documents")
@ends_well
def documents_command(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 2 if a figure is old.")
    ] = False,
) -> None:
    """Write the committed reference's figures into README.md and docs/, between their markers."""
    records, _ = load_records(paths.REFERENCE)
    for path in (paths.HOME / "README.md", *sorted((paths.HOME / "docs").glob("**/*.md"))):
        old = path.read_text(encoding="utf-8")
        new = rewrite(old, records)
        if new == old:
            continue
        if check:
            raise UsageError(
                f"{path}: its figures are not the records'", next_command="vcpu-ladder documents"
            )
        write_atomically(path, new)
        out.print(f"rewrote {path}", highlight=False, soft_wrap=True)


@app.command("doctor")
@ends_well
def doctor_command() -> None:
    """What this machine can and cannot do, with the remedy for each."""
    table = Table(show_lines=False)
    for name in ("check", "state", "finding", "remedy"):
        table.add_column(name, overflow="fold")
    _clean_if_idle()
    findings = examine()
    colours = {"ok": "green", "warning": "yellow", "missing": "red"}
    for finding in findings:
        table.add_row(
            finding.name, f"[{colours[finding.state]}]{finding.state}[/]", finding.text, finding.remedy
        )
    out.print(table)
    missing = [finding for finding in findings if finding.state == "missing"]
    if missing:
        first = missing[0]
        raise EnvironmentNotReady(f"{first.name}: {first.text}", next_command=first.remedy)


def _ladder(name: str) -> Ladder:
    path = Path(name) if name.endswith(".toml") else paths.LADDERS / f"{name}.toml"
    return load_ladder(path)


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


def _climb(jobs: Sequence[Job], environment: str | None, progress: Progress) -> list[RunRecord]:
    """The climb; the summary is written however it ends."""
    try:
        return climb_jobs(jobs, _environment(environment), progress)
    finally:
        _write_summary()


def _environment(name: str | None) -> Environment:
    chosen = name or "native"
    if chosen not in ENVIRONMENTS:
        raise UsageError(f"ENVIRONMENT = {chosen!r} is not one of: {', '.join(ENVIRONMENTS)}")
    return ENVIRONMENTS[chosen]()


def _clean_if_idle() -> None:
    """Report and clean up after a killed runner, unless a run is under way."""
    with suppress(EnvironmentNotReady), only_one():
        _tell_cleaned()


def _tell_cleaned() -> None:
    for line in clean_up(paths.RESULTS):
        err.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)


def _write_summary(folder: Path = paths.RESULTS) -> list[Row]:
    records, complaints = load_records(folder)
    for complaint in complaints:
        err.print(f"note: {complaint}", highlight=False, markup=False, soft_wrap=True)
    rows = merge(records)
    if rows:
        write_all(rows, folder)
    return rows


def _same_settings(records: Sequence[RunRecord]) -> list[RunRecord]:
    """All records so far that may be compared with these."""
    wanted = {Setting.of(record) for record in records}
    everything, _ = load_records(paths.RESULTS)
    return [record for record in everything if Setting.of(record) in wanted]


def _name(row: Row) -> str:
    return f"{row.ladder}/{row.stage}"


def _newest_row(rows: Sequence[Row], name: str) -> Row:
    found = next((row for row in rows if _name(row) == name and row.valid), None)
    if found is None:
        raise UsageError(f"no valid record of {name!r}", next_command=f"vcpu-ladder run {name}")
    return found


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


def main() -> None:
    app()


if __name__ == "__main__":
    main()
