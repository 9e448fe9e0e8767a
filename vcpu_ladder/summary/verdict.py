"""Ratios, their intervals and verdicts: over runs, never over requests, and on the log scale.

Interval: Student's t on the log ratios of pairs. Percentile bootstrap over three to five runs covers far
less than it says (docs/decisions/0003-t-interval-on-log-ratios.md; a test simulates both). Runs that share no
block are not a pair: the machine drifts by several per cent between two climbs, and an interval that knows
nothing of the drift is wrong half of the time. They get a ratio and no verdict.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

CONFIDENCE = 0.95
# The smallest difference that a reader cares about, as a share; ``same`` is an interval inside of it.
RESOLUTION = 0.03
Verdict = Literal[
    "faster", "slower", "same", "undecided", "one run: no interval", "no shared run: no interval"
]
# Those that say something of the change.
DECIDED: tuple[Verdict, ...] = ("faster", "slower", "same")

_WIDEST = 700.0

# A percentile is printed only if at least this many samples lie beyond it.
MIN_BEYOND = 10


class Served(NamedTuple):
    """What one run served. ``least`` is the smallest step by which its throughput could have moved, as a
    share: one request of those completed, or one wave where requests end together.
    """

    rps: float
    least: float = 0.0


@dataclass(frozen=True)
class Ratio:
    """Geometric mean ratio over ``pairs`` of runs that share a block, with its 95 % interval (None with fewer
    than two); of all runs, and without an interval, where none share one (``pairs`` 0).
    """

    value: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def verdict(self) -> Verdict:
        return self.at(RESOLUTION)

    def at(self, resolution: float) -> Verdict:
        """``same`` if the whole interval is within the resolution; else faster or slower if it excludes 1."""
        if self.low is None or self.high is None:
            return "one run: no interval" if self.pairs else "no shared run: no interval"
        bound = math.log1p(resolution)
        if -bound <= _log(self.low) and _log(self.high) <= bound:
            return "same"
        if self.low > 1:
            return "faster"
        return "slower" if self.high < 1 else "undecided"


def ratio(ours: Mapping[Any, Served], parents: Mapping[Any, Served]) -> Ratio | None:
    """Throughput over the parent's; both {block: what was served}, a block being one repeat of one climb.

    Blocks run by both are paired, because they shared the machine's state and the request sequence. None when
    either is empty or not positive.
    """
    every = [*ours.values(), *parents.values()]
    if not ours or not parents or min(one.rps for one in every) <= 0:
        return None
    shared = [block for block in ours if block in parents]
    if not shared:
        centre = geometric_mean([one.rps for one in ours.values()])
        return Ratio(centre / geometric_mean([one.rps for one in parents.values()]), None, None, 0)
    logs = [math.log(ours[block].rps) - math.log(parents[block].rps) for block in shared]
    centre = statistics.fmean(logs)
    if len(logs) < 2:
        return Ratio(_exp(centre), None, None, 1)
    half = _t(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    # Runs that agree to the request are not known better than to the request.
    half = max(half, *(pair[block].least for block in shared for pair in (ours, parents)))
    return Ratio(_exp(centre), _exp(centre - half), _exp(centre + half), len(logs))


def false_verdicts(ratios: int) -> float:
    """How many of so many intervals are expected to miss the truth: a table is a family."""
    return (1 - CONFIDENCE) * ratios


def geometric_mean(values: list[float]) -> float:
    """Of positive values; the arithmetic mean where one is 0."""
    if len(values) == 1 or min(values) <= 0:
        return statistics.fmean(values)
    # Through logarithms and back the last digits are no longer the measured ones.
    return float(f"{_exp(statistics.fmean(map(math.log, values))):.12g}")


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -_WIDEST


def _exp(value: float) -> float:
    # Two very different runs can give an interval wider than a float's range: that is wide, not an error.
    return math.exp(min(max(value, -_WIDEST), _WIDEST))


def _t(freedom: float) -> float:
    # Student's t quantile; scipy.stats has it too, but takes half a second to import. This one takes a
    # seventh of a second, which commands that need no interval are spared.
    from scipy import special

    return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))


def enough_for(percentile: float, samples: int) -> bool:
    """Whether that many samples support a percentile (0 to 100)."""
    return samples * (1 - percentile / 100) >= MIN_BEYOND
