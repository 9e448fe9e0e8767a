"""Rows as files: one module per format, and one registry of them all. Adding a format is one entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vcpu_ladder.records.store import write_atomically
from vcpu_ladder.summary.formats.csv import as_csv
from vcpu_ladder.summary.formats.json import as_json
from vcpu_ladder.summary.formats.markdown import as_markdown
from vcpu_ladder.summary.merge import Row

FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {
    "md": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def write_all(rows: Sequence[Row], folder: Path) -> list[Path]:
    """``summary.<format>`` for every format. Raises EnvironmentNotReady if the folder cannot be written."""
    paths = []
    for name, export in FORMATS.items():
        path = folder / f"summary.{name}"
        write_atomically(path, export(rows))
        paths.append(path)
    return paths
