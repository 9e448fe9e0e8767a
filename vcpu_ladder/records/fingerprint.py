"""Short names of content: of knobs, of a load, and of the source that acts on a figure."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vcpu_ladder import paths

# What the workload is made of: two records are only merged when all of it is the same.
_WORKLOAD = (
    "services/**/*.py",
    "k6/**/*.js",
    "requirements.txt",
    "postgres/**/*.conf",
    "postgres/**/*.sql",
    "vcpu_ladder/postgres/rows.py",
    "vcpu_ladder/data/**/*.py",
    "vcpu_ladder/environments/**/*.py",
    "vcpu_ladder/run/**/*.py",
)


def fingerprint(content: Any) -> str:
    """12 hexadecimal digits that change with the content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def workload_fingerprint(home: Path = paths.HOME) -> str:
    digest = hashlib.sha256()
    for pattern in _WORKLOAD:
        for path in sorted(home.glob(pattern)):
            digest.update(str(path.relative_to(home)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
