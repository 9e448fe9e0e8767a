"""Curves: throughput as a function of one numeric knob, computed from rows alone.

Which value is enough, and where does more stop paying off? Both answers are computed, never judged by eye;
docs/methodology.md says how.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vcpu_ladder.records.key import ComparisonKey
from vcpu_ladder.summary.merge import Row
from vcpu_ladder.summary.verdict import Ratio, ratio

_MIN_POINTS = 3


@dataclass(frozen=True)
class Point:
    """One stage of a curve. ``to_best`` is its throughput relative to the best point's; None for the best."""

    value: int
    row: Row
    rps: float
    to_best: Ratio | None

    @property
    def within_noise(self) -> bool:
        """Whether this is the best point, or its ratio's interval includes 1 or lies above it."""
        if self.to_best is None:
            return True
        return self.to_best.verdict in ("same", "undecided", "faster")


@dataclass(frozen=True)
class Curve:
    """``points`` by increasing value. ``missing`` are the curve's stages without a valid run."""

    name: str
    knob: str
    key: ComparisonKey
    points: tuple[Point, ...]
    missing: tuple[str, ...]

    @property
    def best(self) -> Point:
        return next(point for point in self.points if point.to_best is None)

    @property
    def smallest_enough(self) -> Point | None:
        """The smallest value within noise of the best; None while any point lacks an interval."""
        if any(point.to_best and point.to_best.low is None for point in self.points):
            return None
        return next(point for point in self.points if point.within_noise)

    @property
    def bend(self) -> Point | None:
        """The inner point at which the elasticity, d log(throughput) / d log(value), falls most.

        None if it never falls. A value of 0 has no logarithm and is left out.
        """
        points = [point for point in self.points if point.value > 0]
        slopes = [
            (math.log(right.rps) - math.log(left.rps)) / math.log(right.value / left.value)
            for left, right in pairwise(points)
        ]
        falls = [before - after for before, after in pairwise(slopes)]
        most = max(falls, default=0.0)
        return points[falls.index(most) + 1] if most > 0 else None


def curves(rows: Sequence[Row]) -> list[Curve]:
    """Every curve with at least three valid points in the rows of one key and rate, in the rows' order."""
    found = []
    for key, rate_rps in dict.fromkeys((row.key, row.rate_rps) for row in rows):
        mine = [row for row in rows if (row.key, row.rate_rps) == (key, rate_rps)]
        for name, knob in dict.fromkeys(item for row in mine for item in row.curves.items()):
            members = [row for row in mine if row.curves.get(name) == knob]
            curve = _curve(name, knob, key, members)
            if curve is not None:
                found.append(curve)
    return found


def _curve(name: str, knob: str, key: ComparisonKey, members: Sequence[Row]) -> Curve | None:
    valid = [
        (int(row.knobs[knob]), row, row.rps)
        for row in members
        if row.rps and min(one.rps for one in row.blocks.values()) > 0
    ]
    if len({value for value, _, _ in valid}) < max(_MIN_POINTS, len(valid)):
        return None  # too few points, or two stages with the same value, which is not a function
    _, best, _ = max(valid, key=lambda item: item[2])
    points = [
        Point(value, row, rps, None if row is best else ratio(row.blocks, best.blocks))
        for value, row, rps in sorted(valid, key=lambda item: item[0])
    ]
    missing = [row.stage for row in members if all(row is not one for _, one, _ in valid)]
    return Curve(name, knob, key, tuple(points), tuple(missing))
