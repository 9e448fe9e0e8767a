"""Comma-separated values: one line per row, for every comparison key.

Text that a spreadsheet would read as a formula gets a leading apostrophe, the spreadsheets' own escape:
records may come from anywhere, and the file is meant to be opened there. Our own texts never need it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from vcpu_ladder.summary.formats.flat import COLUMNS, flat
from vcpu_ladder.summary.merge import Row

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = flat(row)
        writer.writerow({name: _cell(cells[name]) for name in COLUMNS})
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return f"{value:.6g}" if isinstance(value, float) else value
