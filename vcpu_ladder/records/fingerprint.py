"""Short hashes of content: of knobs, of a load, and of the source that affects a figure.

The workload is hashed by content, part by part: each file in the form that ``normal`` reduces it to. A part
is the sum of its files' hashes and the workload the sum of its parts, so file names and locations are not
included: moving, reformatting or commenting a file changes nothing.

Included is what affects a figure: service, upstream, what they share, the load and how it is driven, the data
and how it is restored, how a run samples and what it asks of the service beforehand; for runs in containers
the Compose file, the Dockerfiles and their locked versions, for native runs the code that starts processes.
Not included is what only judges a finished figure: checks (``run/validity.py``), limits and reports. A check
that is added or changed decides which runs count from then on; each record keeps the checks that it was
judged by, and the changelog's Methodology section says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vcpu_ladder import paths
from vcpu_ladder.records.normal import normal, requirements

_DIGITS = 12
LOCKS = "services/*/requirements.txt"

# {part: its files}. "environment NAME" counts in runs of that kind only; the first matching part has a file.
_PARTS: dict[str, tuple[str, ...]] = {
    "service": ("services/api/**/*.py",),
    "upstream": ("services/mock/**/*.py",),
    "contract": ("services/contract/**/*.py",),
    "load": ("k6/**/*.js", "vcpu_ladder/ladder/load.py"),
    "data": (
        *("vcpu_ladder/data/**/*.py", "vcpu_ladder/ladder/scale.py"),
        *("vcpu_ladder/postgres/**/*.py", "postgres/**/*.sql", "postgres/**/*.conf"),
    ),
    "environment native": ("vcpu_ladder/environments/native/**/*.py",),
    "environment compose": (
        *("vcpu_ladder/environments/compose/**/*.py", "compose.yaml"),
        *("services/*/Dockerfile", LOCKS),
    ),
    "runner": ("vcpu_ladder/run/**/*.py", "vcpu_ladder/environments/**/*.py"),
}
# These judge, record or choose, and affect no figure.
_NOT_ACTING = (
    *("vcpu_ladder/run/validity.py", "vcpu_ladder/run/recording.py", "vcpu_ladder/run/climb.py"),
    *("vcpu_ladder/run/plan.py", "vcpu_ladder/run/evidence.py", "vcpu_ladder/run/budget.py"),
    "vcpu_ladder/environments/machine.py",
    "vcpu_ladder/environments/registry.py",
)


def fingerprint(content: Any) -> str:
    """12 hexadecimal digits that change with the content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def added(hashes: Iterable[str]) -> str:
    """One hash of many, whatever their order: their sum."""
    return f"{sum(int(one, 16) for one in hashes) % 16**_DIGITS:0{_DIGITS}x}"


def workload_parts(home: Path = paths.HOME) -> dict[str, str]:
    """{part: the sum of its files' hashes}. Files with nothing left after ``normal`` are skipped."""
    return {
        part: added(fingerprint(lines) for path in files if (lines := normal(path)))
        for part, files in workload_files(home).items()
    }


def workload_files(home: Path = paths.HOME) -> dict[str, list[Path]]:
    """{part: its files}, each file in one part."""
    taken = {home / name for name in _NOT_ACTING}
    found: dict[str, list[Path]] = {}
    for part, patterns in _PARTS.items():
        files = [path for pattern in patterns for path in sorted(home.glob(pattern)) if path not in taken]
        taken.update(files)
        found[part] = files
    return found


def locked(home: Path = paths.HOME) -> Iterator[str]:
    """Every distribution that the services' lock files name."""
    for path in sorted(home.glob(LOCKS)):
        for line in requirements(path.read_text(encoding="utf-8")):
            name = line.partition("==")[0].partition("[")[0].strip()
            if name and not name.startswith("-"):
                yield name
