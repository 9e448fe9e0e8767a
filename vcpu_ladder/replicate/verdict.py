"""The rules by which a published rung counts as reproduced, all of them; docs/methodology.md explains them.

Rungs are compared by their ratio to the nearest published rung above: sizes belong to the hardware. A
published rate counts failed requests; ours does not, so the published share of failures is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vcpu_ladder.ladder.ladder import Published
from vcpu_ladder.summary.merge import Row
from vcpu_ladder.summary.verdict import Ratio

Verdict = Literal[
    "first rung",
    "reproduced",
    "shape reproduced",
    "not reproduced",
    "cannot be",
    "undecided",
    "invalid",
    "not measured",
]

# A change smaller than this is none.
NO_CHANGE = math.log(1.1)
# Our ratio may be off by this share of the published one's logarithm, within these bounds.
OFF_BY = 0.25
CLOSEST, FARTHEST = math.log(1.1), math.log(1.5)


@dataclass(frozen=True)
class Compared:
    """A published rung: its figures and ours. ``to`` and both ratios are None for the first rung of a ladder;
    ``impossible`` is the audit's reason why the published figures cannot be.
    """

    ladder: str
    stage: str
    change: str | None
    published: Published
    row: Row | None
    to: str | None
    to_row: Row | None
    published_ratio: float | None
    ratio: Ratio | None
    impossible: str | None

    @property
    def logs(self) -> tuple[float, float]:
        """(published, ours): logarithms of the ratios."""
        assert self.published_ratio is not None
        assert self.ratio is not None
        return math.log(self.published_ratio), math.log(self.ratio.value)

    @property
    def wide(self) -> bool:
        """Whether our interval is too wide to say that nothing changed."""
        low, high = (self.ratio.low, self.ratio.high) if self.ratio else (None, None)
        return low is not None and high is not None and math.log(high / low) > FARTHEST

    def includes(self, log_ratio: float) -> bool:
        """Whether our interval has it; False without an interval."""
        if self.ratio is None or self.ratio.low is None or self.ratio.high is None:
            return False
        return math.log(self.ratio.low) <= log_ratio <= math.log(self.ratio.high)


def served_rps(published: Published) -> float:
    """The published rate without its failures."""
    return published.rps * (1 - published.others.get("failed_ratio", 0.0))


def _not_measured(rung: Compared) -> str | None:
    if rung.row is None:
        return "no record"
    if rung.to is not None and rung.to_row is None:
        return f"no record of {rung.to}"
    return None


def _invalid(rung: Compared) -> str | None:
    for row in (rung.row, rung.to_row):
        if row is not None and not row.valid:
            return f"{row.stage}: {row.notes[0] if row.notes else 'no valid run'}"
    if rung.to is not None and rung.ratio is None:
        return f"{rung.stage} or {rung.to} served nothing"
    return None


def _nothing(rung: Compared) -> str | None:
    """A rung that fails by what it shows may serve nothing at all: no ratio, and yet a result."""
    collapsed = rung.row is not None and rung.row.valid and rung.row.rps == 0
    if collapsed and rung.published_ratio is not None and math.log(rung.published_ratio) < -NO_CHANGE:
        return "the same direction: here it served nothing"
    return None


def _first(rung: Compared) -> str | None:
    return "the others of its ladder are compared with it" if rung.to is None else None


def _close(rung: Compared) -> str | None:
    published, ours = rung.logs
    allowed = min(max(OFF_BY * abs(published), CLOSEST), FARTHEST)
    if abs(ours - published) <= allowed:
        return f"within × {math.exp(allowed):.3g} of the published ratio"
    return None


def _undecided(rung: Compared) -> str | None:
    published, _ = rung.logs
    if not (rung.includes(0.0) and rung.includes(published)):
        return None
    if abs(published) <= NO_CHANGE and not rung.wide:
        return None
    return "our interval holds both no change and the published ratio: more REPEATS"


def _same_shape(rung: Compared) -> str | None:
    published, ours = rung.logs
    if abs(published) <= NO_CHANGE and abs(ours) <= NO_CHANGE:
        return "no change, there and here"
    if (
        abs(published) > NO_CHANGE
        and abs(ours) > NO_CHANGE
        and published * ours > 0
        and not rung.includes(0.0)
    ):
        return f"the same direction, {'more' if abs(ours) > abs(published) else 'less'} of it"
    return None


def _no_room(rung: Compared) -> str | None:
    """More workers buy nothing where one already has all the CPU there is, or all the users."""
    published, _ = rung.logs
    above = rung.to_row
    if above is None or not (rung.change or "").startswith("workers = ") or published <= NO_CHANGE:
        return None
    if above.limit == "cpu":
        return f"{rung.to} has its one CPU full: more workers on it add none"
    if above.limit == "parked requests":
        return f"{rung.to} serves all its users at once already: there are none left for more workers"
    return None


# In this order: the first that has a reason gives the verdict.
_RULES: tuple[tuple[Verdict, Callable[[Compared], str | None]], ...] = (
    ("cannot be", lambda rung: rung.impossible),
    ("not measured", _not_measured),
    ("shape reproduced", _nothing),
    ("invalid", _invalid),
    ("first rung", _first),
    ("undecided", _undecided),
    ("reproduced", _close),
    ("shape reproduced", _same_shape),
    ("cannot be", _no_room),
)


def verdict(rung: Compared) -> tuple[Verdict, str]:
    """The verdict and its reason."""
    for name, reason_of in _RULES:
        reason = reason_of(rung)
        if reason is not None:
            return name, reason
    return "not reproduced", "another ratio"
