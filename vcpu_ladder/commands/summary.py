"""``summary``: all records merged into tables, here and in files. Takes no lock and ends no process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, out, say
from vcpu_ladder.errors import UsageError
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.records.store import load_records, unfinished
from vcpu_ladder.summary.formats import write_all
from vcpu_ladder.summary.formats.terminal import print_rows
from vcpu_ladder.summary.merge import Row, merge, newest

summing = typer.Typer()


@summing.command("summary")
@ends_well
def summary_command(
    results: Annotated[Path | None, typer.Option(help="Where the records are; results/ by default.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also rows of older comparison keys, not only of the newest.")
    ] = False,
) -> None:
    """Merge all records into summary.md, .csv, .json and this terminal.

    Example: vcpu-ladder summary --results results/reference
    """
    folder = results or paths.RESULTS
    records, complaints = load_records(folder)
    for run in unfinished(folder):
        say(f"note: {run} has no record: its run is under way, or was killed; the next climb then records it")
    rows = write_summary(records, complaints, folder)
    if not rows:
        raise UsageError(f"no records below {folder}", next_command="make stage-v1")
    shown = rows if everything else newest(rows)
    print_rows(shown, out)
    if len(shown) < len(rows):
        say(f"{len(rows) - len(shown)} rows of older comparison keys are in summary.csv; --all shows them")


def write_summary(records: Sequence[RunRecord], complaints: Sequence[str], folder: Path) -> list[Row]:
    """Write ``summary.*`` to the folder and complaints about records to standard error; returns the rows."""
    for complaint in complaints:
        say(f"note: {complaint}")
    rows = merge(records)
    if rows:
        write_all(rows, folder)
    return rows
