"""The commands that check published figures by arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from vcpu_ladder import paths
from vcpu_ladder.audit.claims import load_claims
from vcpu_ladder.audit.judge import Judged, judge
from vcpu_ladder.audit.report import FORMATS, HEAD, details, line
from vcpu_ladder.commands.console import ends_well, out
from vcpu_ladder.errors import RunInvalid, UsageError

auditing = typer.Typer()


@auditing.command("audit")
@ends_well
def audit_command(
    file: Annotated[
        Path | None, typer.Argument(help="A TOML file of figures; audit/published.toml by default.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; a table by default.")
    ] = None,
) -> None:
    """Check a table of figures by Little's law and the ceilings: what is impossible, what limits the rest.

    Exits with 4 if a row is impossible. The file's keys: docs/audit.md. Example: vcpu-ladder audit mine.toml
    """
    path = file or paths.PUBLISHED
    if format_ is not None and format_ not in FORMATS:
        raise UsageError(f"--format {format_!r} is not one of: {', '.join(FORMATS)}")
    studies = load_claims(path)
    rows = judge(studies)
    if format_ is None:
        _print(rows)
    else:
        out.print(FORMATS[format_](studies, rows), end="", soft_wrap=True)
    impossible = [judged.name for judged in rows if judged.judgement == "cannot be"]
    if impossible:
        raise RunInvalid(
            f"{path}: {len(impossible)} of {len(rows)} rows cannot be: {', '.join(impossible)}",
            next_command=f"vcpu-ladder audit {path} --format markdown",
        )


def _print(rows: Sequence[Judged]) -> None:
    colours = {"cannot be": "red", "doubtful": "yellow", "explained": "green"}
    table = Table(box=box.SIMPLE_HEAD)
    for name in HEAD:
        table.add_column(
            name.lower(), overflow="fold", justify="right" if name in ("Users", "RPS") else "left"
        )
    for judged in rows:
        table.add_row(*line(judged), style=colours.get(judged.judgement))
    out.print(table)
    for judged in rows:
        for text in details(judged):
            out.print(text, soft_wrap=True)
