"""Rows and curves as text, shared by every format for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vcpu_ladder.records.key import ComparisonKey
from vcpu_ladder.summary.curve import Curve
from vcpu_ladder.summary.merge import Row
from vcpu_ladder.summary.verdict import CONFIDENCE, Ratio, false_verdicts


def plain(text: str) -> str:
    """One line without terminal control or text-direction characters: records may come from anywhere."""
    return "".join(one if one.isprintable() else " " for one in text)


def describe(key: ComparisonKey) -> str:
    """One line that identifies a key."""
    return plain(
        f"Environment {key.environment}, host {key.host}, platform {key.platform}, "
        f"load {key.load}, workload {key.workload}"
    )


def cells(row: Row) -> list[str]:
    """The row's cells as tables for people show them."""
    return [
        plain(row.label),
        plain(row.change or row.title),
        f"{row.n}" + (f" (+{row.invalid_runs} invalid)" if row.invalid_runs else ""),
        spread(row),
        digits(row.p50_ms),
        digits(row.p95_ms),
        digits(row.p99_ms),
        "–" if row.error_ratio is None else f"{row.error_ratio:.2%}",
        interval(row),
        row.verdict,
        plain(row.limit or "–"),
        published(row),
    ]


def published(row: Row) -> str:
    """The published rate, and the published share of failures if there is one."""
    failed = row.published_others.get("failed_ratio")
    return digits(row.published_rps) + (f" ({failed:.3g} failed)" if failed else "")


def spread(row: Row) -> str:
    if row.rps is None:
        return "–"
    if row.n < 2:
        return digits(row.rps)
    return f"{digits(row.rps)} ({digits(row.rps_low)}–{digits(row.rps_high)})"


def curve_line(curve: Curve) -> str:
    """``curve pool: pool_size 1, 2, 5: 21, 40, 41 RPS; ...``: the curve in one line."""
    values = ", ".join(str(point.value) for point in curve.points)
    rates = ", ".join(digits(point.rps) for point in curve.points)
    best, enough, bend = curve.best, curve.smallest_enough, curve.bend
    text = f"curve {curve.name}: {curve.knob} {values}: {rates} RPS; best {best.value}"
    if enough is None:
        text += "; one run a point says nothing about noise"
    elif enough.to_best is None:
        text += ", and no smaller one is within noise of it"
    else:
        text += f"; smallest within noise of it {enough.value}, {show_ratio(enough.to_best)}"
    text += f"; bends at {bend.value}" if bend else ""
    return plain(text + (f"; no valid run of {', '.join(curve.missing)}" if curve.missing else ""))


def interval(row: Row) -> str:
    return "–" if row.ratio is None else show_ratio(row.ratio)


def show_ratio(ratio: Ratio) -> str:
    """``× 1.20 (1.11–1.30)``, with as many digits as the interval's width bears.

    Without an interval three digits, and a mark where no two runs were of one climb.
    """
    if ratio.low is None or ratio.high is None:
        return f"× {ratio.value:.3g}" + ("" if ratio.pairs else " (of different climbs)")
    # Two digits of the width: neither bound is then rounded onto the other, or onto 1.
    width = max(ratio.high - ratio.low, 1e-6)
    decimals = min(max(1 - math.floor(math.log10(width)), 0), 6)
    return f"× {ratio.value:.{decimals}f} ({ratio.low:.{decimals}f}–{ratio.high:.{decimals}f})"


def family_line(rows: Sequence[Row]) -> str:
    """How many of the table's intervals may be expected to miss the truth; empty with fewer than two."""
    count = sum(1 for row in rows if row.ratio is not None and row.ratio.low is not None)
    if count < 2:
        return ""
    return (
        f"{count} intervals of {CONFIDENCE:.0%}: among stages that do not differ, expect "
        f"{false_verdicts(count):.1f} false verdicts in a table of this size"
    )


def digits(value: float | None) -> str:
    """Three significant digits, without exponents; an en dash for nothing."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
