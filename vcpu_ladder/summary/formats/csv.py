"""Comma-separated values: one line a row, every key."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from vcpu_ladder.summary.formats.flat import COLUMNS, flat
from vcpu_ladder.summary.merge import Row


def as_csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = flat(row)
        writer.writerow({name: _number(cells[name]) for name in COLUMNS})
    return out.getvalue()


def _number(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
