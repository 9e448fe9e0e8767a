"""``compare``: one stage over another, from comparable records only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, out
from vcpu_ladder.errors import NotComparable, UsageError
from vcpu_ladder.records.store import load_records
from vcpu_ladder.summary.formats.words import show_ratio
from vcpu_ladder.summary.merge import Row, merge
from vcpu_ladder.summary.verdict import ratio

comparing = typer.Typer()


@comparing.command("compare")
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
    theirs = next((row for row in rows if _name(row) == second and row.comparable_with(ours)), None)
    if theirs is None:
        differing = ours.key.differences(_newest_row(rows, second).key)
        raise NotComparable(
            f"{first} and {second} have no records of the same comparison key: {differing}",
            next_command="vcpu-ladder climb LADDER --stages FIRST,SECOND",
        )
    found = ratio(ours.blocks, theirs.blocks)
    if found is None:
        raise NotComparable(f"{first} or {second} has no valid run: there is no ratio")
    how = f"{found.pairs} of them paired by repeat" if found.pairs else "no two of one climb"
    out.print(
        f"{first} / {second}: {show_ratio(found)}, {found.verdict}; {ours.n} and {theirs.n} runs, {how}",
        soft_wrap=True,
    )


def _name(row: Row) -> str:
    return f"{row.ladder}/{row.stage}"


def _newest_row(rows: Sequence[Row], name: str) -> Row:
    found = next((row for row in rows if _name(row) == name and row.valid), None)
    if found is None:
        raise UsageError(f"no valid record of {name!r}", next_command=f"vcpu-ladder run {name}")
    return found
