"""Rows as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from vcpu_ladder.summary.curve import curves
from vcpu_ladder.summary.export import cells, curve_line, describe
from vcpu_ladder.summary.merge import Row

# Name, and whether a narrow terminal shows it too; the order is that of ``export.cells``.
_COLUMNS = (
    ("stage", True),
    ("change", False),
    ("n", True),
    ("RPS (low–high)", True),
    ("P50 ms", False),
    ("P95 ms", True),
    ("P99 ms", False),
    ("errors", False),
    ("ratio to parent", True),
    ("verdict", True),
    ("limit", True),
    ("published", True),
)
_LEFT = {"stage", "change", "verdict", "limit"}
_WIDE = 150


def print_rows(rows: Sequence[Row], console: Console) -> None:
    """One table a setting, then what the reader must know of its rows."""
    settings = list(dict.fromkeys(row.setting for row in rows))
    for setting in settings:
        mine = [row for row in rows if row.setting == setting]
        title = f"{setting.ladder} ({setting.environment}), RPS: requests served a second"
        if len(settings) > 1:
            console.print(describe(setting), highlight=False, soft_wrap=True)
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        shown = [narrow or console.width >= _WIDE for _, narrow in _COLUMNS]
        for (name, _), show in zip(_COLUMNS, shown, strict=True):
            if show:
                table.add_column(name, justify="left" if name in _LEFT else "right", overflow="fold")
        for row in mine:
            table.add_row(*(cell for cell, show in zip(cells(row), shown, strict=True) if show))
        console.print(table)
        for row in mine:
            if row.limit_evidence:
                ceiling = f"; ceiling {row.ceiling_rps:.0f} RPS" if row.ceiling_rps else ""
                console.print(f"{row.stage}: {row.limit}: {row.limit_evidence}{ceiling}", highlight=False)
            for note in row.notes:
                console.print(f"{row.stage}: note: {note}", highlight=False)
        for curve in curves(mine):
            console.print(curve_line(curve), highlight=False)
