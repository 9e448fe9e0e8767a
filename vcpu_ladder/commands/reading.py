"""The commands that measure nothing: they read ladders, records and this machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, err, out
from vcpu_ladder.commands.doctor import examine
from vcpu_ladder.commands.documents import rewrite
from vcpu_ladder.commands.guard import clean_up, only_one
from vcpu_ladder.errors import EnvironmentNotReady, NotComparable, UsageError
from vcpu_ladder.ladder.reader import ladders_in, load_ladder
from vcpu_ladder.ladder.resolve import resolve_all
from vcpu_ladder.records.record import load_records, write_atomically
from vcpu_ladder.summary.export import knobs_table, show_ratio, write_all
from vcpu_ladder.summary.merge import Row, merge, newest
from vcpu_ladder.summary.terminal import print_rows
from vcpu_ladder.summary.verdict import ratio

reading = typer.Typer()


@reading.command("summary")
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
    rows = write_summary(folder)
    if not rows:
        raise UsageError(f"no records below {folder}", next_command="make stage-v1")
    shown = rows if everything else newest(rows)
    print_rows(shown, out)
    if len(shown) < len(rows):
        err.print(f"{len(rows) - len(shown)} rows of older settings are in summary.csv; --all shows them")


@reading.command("compare")
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


@reading.command("list")
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


@reading.command("knobs")
@ends_well
def knobs_command() -> None:
    """Every knob a stage may change: allowed values, default, and what it does (a Markdown table)."""
    out.print(knobs_table(), end="", highlight=False, markup=False, soft_wrap=True)


@reading.command("documents")
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


@reading.command("doctor")
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


def _clean_if_idle() -> None:
    """Report and clean up after a killed runner, unless a run is under way."""
    with suppress(EnvironmentNotReady), only_one():
        tell_cleaned()


def tell_cleaned() -> None:
    for line in clean_up(paths.RESULTS):
        err.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)


def write_summary(folder: Path = paths.RESULTS) -> list[Row]:
    records, complaints = load_records(folder)
    for complaint in complaints:
        err.print(f"note: {complaint}", highlight=False, markup=False, soft_wrap=True)
    rows = merge(records)
    if rows:
        write_all(rows, folder)
    return rows


def _name(row: Row) -> str:
    return f"{row.ladder}/{row.stage}"


def _newest_row(rows: Sequence[Row], name: str) -> Row:
    found = next((row for row in rows if _name(row) == name and row.valid), None)
    if found is None:
        raise UsageError(f"no valid record of {name!r}", next_command=f"vcpu-ladder run {name}")
    return found
