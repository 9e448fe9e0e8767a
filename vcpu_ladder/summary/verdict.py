"""Ratios and their intervals: over runs, never over requests, and on the log scale.

Interval: Student's t on log ratios. A percentile bootstrap over three to five runs covers far less than its
nominal level (docs/decisions/0003-t-interval-on-log-ratios.md; a test simulates both).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scipy import special

CONFIDENCE = 0.95
Verdict = Literal["faster", "slower", "no detectable change", "one run: no interval"]

_WIDEST = 700.0

# A percentile is printed only if at least this many samples lie beyond it.
MIN_BEYOND = 10


@dataclass(frozen=True)
class Ratio:
    """Geometric mean ratio, its 95 % interval (None without enough runs), and how it was computed."""

    value: float
    low: float | None
    high: float | None
    paired: bool

    @property
    def verdict(self) -> Verdict:
        if self.low is None or self.high is None:
            return "one run: no interval"
        if self.low > 1:
            return "faster"
        return "slower" if self.high < 1 else "no detectable change"


def ratio(ours: Mapping[Any, float], parents: Mapping[Any, float]) -> Ratio | None:
    """Throughput relative to the parent's; both are {block: rps}, a block being one repeat of one climb.

    Blocks run by both are paired, because they shared the machine's state and the request sequence;
    otherwise the two groups are compared by Welch's method. None when either is empty or not positive.
    """
    if not ours or not parents or min(*ours.values(), *parents.values(), 1.0) <= 0:
        return None
    shared = [block for block in ours if block in parents]
    if len(shared) >= 2:
        logs = [math.log(ours[block]) - math.log(parents[block]) for block in shared]
        centre = statistics.fmean(logs)
        half = _t(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
        return _of_logs(centre, half, paired=True)
    return _welch([math.log(rps) for rps in ours.values()], [math.log(rps) for rps in parents.values()])


def _welch(ours: list[float], parents: list[float]) -> Ratio:
    centre = statistics.fmean(ours) - statistics.fmean(parents)
    if len(ours) < 2 or len(parents) < 2:
        return Ratio(_exp(centre), None, None, paired=False)
    parts = [statistics.variance(group) / len(group) for group in (ours, parents)]
    spread = sum(parts)
    if spread == 0:
        return _of_logs(centre, 0.0, paired=False)
    freedom = spread**2 / sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, (ours, parents), strict=True)
    )
    half = _t(freedom) * math.sqrt(spread)
    return _of_logs(centre, half, paired=False)


def _of_logs(centre: float, half: float, paired: bool) -> Ratio:
    return Ratio(_exp(centre), _exp(centre - half), _exp(centre + half), paired)


def _exp(value: float) -> float:
    # Two very different runs can give an interval wider than a float's range: that is wide, not an error.
    return math.exp(min(max(value, -_WIDEST), _WIDEST))


def _t(freedom: float) -> float:
    # Student's t quantile; scipy.stats has it too, but takes half a second to import.
    return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))


def enough_for(percentile: float, samples: int) -> bool:
    """Whether that many samples support a percentile (0 to 100)."""
    return samples * (1 - percentile / 100) >= MIN_BEYOND
