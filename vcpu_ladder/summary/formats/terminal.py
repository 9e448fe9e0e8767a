"""Rows as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from vcpu_ladder.summary.curve import curves
from vcpu_ladder.summary.formats.words import cells, curve_line, describe, family_line, plain
from vcpu_ladder.summary.merge import Row

# Each column's name and the terminal width from which it is shown, in the order of ``words.cells``. The
# limit is always printed below the table as well.
_WIDE, _MIDDLE = 150, 110
_COLUMNS = (
    ("stage", 0),
    ("change", _WIDE),
    ("n", 0),
    ("RPS (low–high)", 0),
    ("P50 ms", _WIDE),
    ("P95 ms", _MIDDLE),
    ("P99 ms", _WIDE),
    ("errors", _WIDE),
    ("ratio to parent", 0),
    ("verdict", 0),
    ("limit", _MIDDLE),
    ("published", 0),
)
_LEFT = {"stage", "change", "verdict", "limit"}


def print_rows(rows: Sequence[Row], console: Console) -> None:
    """One table per key, then what the reader must know about its rows."""
    keys = list(dict.fromkeys(row.key for row in rows))
    for key in keys:
        mine = [row for row in rows if row.key == key]
        title = f"{key.ladder} ({key.environment}), RPS: requests served a second"
        if len(keys) > 1:
            console.print(Text(describe(key)), soft_wrap=True)
        console.print(_table(title, [cells(row) for row in mine], console.width))
        for row in mine:
            if row.limit_evidence:
                ceiling = f"; ceiling {row.ceiling_rps:.0f} RPS" if row.ceiling_rps else ""
                console.print(_text(f"{row.label}: {row.limit}: {row.limit_evidence}{ceiling}"))
            for note in row.notes:
                console.print(_text(f"{row.label}: note: {note}"))
        if line := family_line(mine):
            console.print(line, highlight=False, markup=False)
        for curve in curves(mine):
            console.print(_text(curve_line(curve)))


def _text(words: str) -> Text:
    """The text as it is: nothing from a record is read as markup."""
    return Text(plain(words))


def _table(title: str, lines: Sequence[Sequence[str]], width: int) -> Table:
    table = Table(
        title=Text(plain(title), style="table.title"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    shown = [index for index, (_, from_width) in enumerate(_COLUMNS) if width >= from_width]
    for index in shown:
        name = _COLUMNS[index][0]
        words = " ".join([name, *(line[index] for line in lines)]).split()
        # Never narrower than the longest word: rich would break inside words.
        fixed = max(map(len, words)) if width < _WIDE else None
        justify: JustifyMethod = "left" if name in _LEFT else "right"
        table.add_column(name, justify=justify, width=fixed)
    for line in lines:
        table.add_row(*(_text(line[index]) for index in shown))
    return table
