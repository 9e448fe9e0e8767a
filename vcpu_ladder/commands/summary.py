"""``summary``: all records merged into tables, here and in files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, err, out
from vcpu_ladder.commands.guard import clean_up, only_one
from vcpu_ladder.errors import EnvironmentNotReady, UsageError
from vcpu_ladder.records.store import load_records
from vcpu_ladder.summary.formats import write_all
from vcpu_ladder.summary.formats.terminal import print_rows
from vcpu_ladder.summary.merge import Row, merge, newest

summing = typer.Typer()


@summing.command("summary")
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
