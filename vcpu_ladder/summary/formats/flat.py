"""Rows as flat {column: value}, for the formats that programs read."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from vcpu_ladder.summary.merge import Row

COLUMNS = [
    "ladder",
    "stage",
    "parent",
    "change",
    "environment",
    "rate_rps",
    "n",
    "pairs",
    "rps",
    "rps_low",
    "rps_high",
    "all_responses_rps",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "latency_samples",
    "error_ratio",
    "ratio_to_parent",
    "ratio_low",
    "ratio_high",
    "verdict",
    "ratio_to_root",
    "limit",
    "ceiling_rps",
    "cpu_ratio",
    "threads_alive",
    "threads_created",
    "published_rps",
    "published_p50_ms",
    "published_p95_ms",
    "published_failed_ratio",
    "published_requests",
    "published_threads",
    "published_source",
    "valid",
    "invalid_runs",
    "host",
    "platform",
    "load",
    "workload",
    "latest",
    "notes",
]


_PUBLISHED_OTHERS = [
    name
    for name in COLUMNS
    if name.startswith("published_") and name not in ("published_rps", "published_source")
]


def flat(row: Row) -> dict[str, Any]:
    """The row by CSV column; None where there is no value, and for numbers that are not finite."""
    cells = _cells(row)
    wild = [name for name, value in cells.items() if isinstance(value, float) and not math.isfinite(value)]
    return {**cells, **dict.fromkeys(wild)}


def _cells(row: Row) -> dict[str, Any]:
    ratio, to_root = row.ratio, row.ratio_to_root
    return {
        **{name: value for name, value in vars(row).items() if name in COLUMNS},
        **{name: value for name, value in asdict(row.key).items() if name in COLUMNS},
        **{name: row.published_others.get(name.removeprefix("published_")) for name in _PUBLISHED_OTHERS},
        "ratio_to_parent": ratio.value if ratio else None,
        "ratio_low": ratio.low if ratio else None,
        "ratio_high": ratio.high if ratio else None,
        "ratio_to_root": to_root.value if to_root else None,
        "verdict": row.verdict,
        "valid": str(row.valid).lower(),
        "notes": "; ".join(row.notes),
    }
