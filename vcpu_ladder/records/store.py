"""Where records live, and how they are written and read."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vcpu_ladder.errors import not_writable
from vcpu_ladder.records.limits import limit_of
from vcpu_ladder.records.migrate import migrated
from vcpu_ladder.records.record import SCHEMA, RunRecord

RECORD = "record.json"
MARKER = "running.json"
REFERENCE = "reference"
# No count of a run exceeds 64 bits, and sums and products of smaller ones stay well within a float's range.
_MOST, _MOST_DIGITS = 2.0**64, 20


_HALF_A_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def run_folder(results: Path, ladder: str, stage: str, run_id: str) -> Path:
    return results / ladder / stage / run_id


def write_atomically(path: Path, text: str) -> None:
    """Write all of the text or none of it; on disk on return. Raises EnvironmentNotReady if that fails."""
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
    """Write ``record.json``. Raises FileExistsError instead of replacing an earlier one."""
    path = folder / RECORD
    if path.exists():
        raise FileExistsError(path)
    write_atomically(path, record.model_dump_json(indent=1) + "\n")
    return path


def parse_record(text: str) -> RunRecord:
    """A record of today's schema or an older one, with its limit computed by today's limits.

    Raises ValueError for anything else; its first line says why.
    """
    try:
        raw = json.loads(text, parse_constant=_refuse, parse_float=_float, parse_int=_int)
        if _HALF_A_CHARACTER.search(text):
            json.dumps(
                raw, ensure_ascii=False
            ).encode()  # refuse lone surrogates: no summary could be written with them
        record = RunRecord.model_validate(migrated(raw))
        return record.model_copy(update={"limit": limit_of(record)})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "".join(f"{name}: " for name in first["loc"])
        raise ValueError(f"not a record of schema {SCHEMA}: {where}{first['msg']}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except RecursionError:
        raise ValueError("not a record: nested too deeply") from None


def _refuse(constant: str) -> float:
    raise ValueError(f"not a record: {constant} is not a number")


def _float(text: str) -> Any:
    return _bounded(text, float(text))


def _int(text: str) -> Any:
    return _bounded(text, int(text) if len(text) <= _MOST_DIGITS else math.inf)


def _bounded(text: str, value: float) -> Any:
    if abs(value) > _MOST:
        raise ValueError(f"not a record: {text[:_MOST_DIGITS]} is larger than any number of a run")
    return value


class RecordStore:
    """The records in a folder, read once; ``add`` adds those written since.

    ``records`` are oldest first; ``complaints`` has one line for each file that is no record. The committed
    reference inside ``results/`` comes from another machine: it is read only by naming its own folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.complaints: list[str] = []
        self._records: list[RunRecord] = []
        for path in sorted(folder.glob(f"**/{RECORD}")):
            if path.relative_to(folder).parts[0] == REFERENCE:
                continue
            try:
                self._records.append(parse_record(path.read_text(encoding="utf-8")))
            except (ValueError, OSError) as error:
                self.complaints.append(_one_line(f"{path}: {error}"))

    @property
    def records(self) -> list[RunRecord]:
        return sorted(self._records, key=lambda record: (record.started_at, record.run_id))

    def add(self, record: RunRecord) -> None:
        self._records.append(record)


def load_records(results: Path) -> tuple[list[RunRecord], list[str]]:
    """``RecordStore``'s records and complaints."""
    store = RecordStore(results)
    return store.records, store.complaints


def _one_line(text: str) -> str:
    """The text without characters that break a line or control a terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def unfinished(results: Path) -> Iterator[Path]:
    """Run folders whose runner never wrote a record."""
    for marker in results.glob(f"**/{MARKER}"):
        if not (marker.parent / RECORD).exists():
            yield marker.parent
