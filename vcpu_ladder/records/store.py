"""Where records live, and how they are written and read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from vcpu_ladder.errors import not_writable
from vcpu_ladder.records.record import SCHEMA, RunRecord

RECORD = "record.json"
MARKER = "running.json"
REFERENCE = "reference"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def run_folder(results: Path, ladder: str, stage: str, run_id: str) -> Path:
    return results / ladder / stage / run_id


def write_atomically(path: Path, text: str) -> None:
    """All of the text or none of it, on disk on return. Raises EnvironmentNotReady if it cannot be."""
    unfinished = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise not_writable(path, error) from None


def save(record: RunRecord, folder: Path) -> Path:
    """Write ``record.json``. Raises FileExistsError rather than replace an earlier one."""
    path = folder / RECORD
    if path.exists():
        raise FileExistsError(path)
    write_atomically(path, record.model_dump_json(indent=1) + "\n")
    return path


def load_records(results: Path) -> tuple[list[RunRecord], list[str]]:
    """All records below ``results``, oldest first, and one line for each file that cannot be read.

    The committed reference inside it is another machine's: it is read by naming its own folder.
    """
    records, complaints = [], []
    for path in sorted(results.glob(f"**/{RECORD}")):
        if path.relative_to(results).parts[0] == REFERENCE:
            continue
        try:
            records.append(RunRecord.model_validate(json.loads(path.read_text(encoding="utf-8"))))
        except (ValidationError, ValueError, OSError) as error:
            complaints.append(f"{path}: not a record of schema {SCHEMA}: {str(error).splitlines()[0]}")
    return sorted(records, key=lambda record: (record.started_at, record.run_id)), complaints


def unfinished(results: Path) -> Iterator[Path]:
    """Run folders whose runner never wrote a record."""
    for marker in results.glob(f"**/{MARKER}"):
        if not (marker.parent / RECORD).exists():
            yield marker.parent
