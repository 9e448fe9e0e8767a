"""All rules by which a published stage counts as reproduced; docs/methodology.md explains them.

Stages are compared by their ratio to the nearest published stage above them, because absolute figures
depend on the hardware. A published rate includes failed requests; ours does not, so the published share of
failures is subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vcpu_ladder.ladder.ladder import Published
from vcpu_ladder.summary.merge import Row
from vcpu_ladder.summary.verdict import Ratio

Outcome = Literal[
    "first stage",
    "reproduced",
    "shape reproduced",
    "not reproduced",
    "cannot be",
    "undecided",
    "invalid",
    "not measured",
]

# A smaller change counts as no change.
NO_CHANGE = math.log(1.1)
# Our log ratio may differ from the published one by this share of it, within these bounds.
OFF_BY = 0.25
CLOSEST, FARTHEST = math.log(1.1), math.log(1.5)


@dataclass(frozen=True)
class Compared:
    """A published stage: its figures and ours. ``to`` and both ratios are None for the first one of a ladder;
    ``impossible`` is the audit's reason why the published figures cannot be right.
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
        """Whether our interval is too wide to conclude that nothing changed."""
        low, high = (self.ratio.low, self.ratio.high) if self.ratio else (None, None)
        return low is not None and high is not None and math.log(high / low) > FARTHEST

    def includes(self, log_ratio: float) -> bool:
        """Whether our interval contains it; False without an interval."""
        if self.ratio is None or self.ratio.low is None or self.ratio.high is None:
            return False
        return math.log(self.ratio.low) <= log_ratio <= math.log(self.ratio.high)


def served_rps(published: Published) -> float:
    """The published rate without failed requests."""
    return published.rps * (1 - published.others.get("failed_ratio", 0.0))


def _not_measured(compared: Compared) -> str | None:
    if compared.row is None:
        return "no record"
    if compared.to is not None and compared.to_row is None:
        return f"no record of {compared.to}"
    return None


def _invalid(compared: Compared) -> str | None:
    for row in (compared.row, compared.to_row):
        if row is not None and not row.valid:
            return f"{row.stage}: {row.notes[0] if row.notes else 'no valid run'}"
    if compared.to is not None and compared.ratio is None:
        return f"{compared.stage} or {compared.to} served nothing"
    return None


def _nothing(compared: Compared) -> str | None:
    """A stage whose result is its failures may serve nothing at all: that is a result without a ratio."""
    collapsed = compared.row is not None and compared.row.valid and compared.row.rps == 0
    if collapsed and compared.published_ratio is not None and math.log(compared.published_ratio) < -NO_CHANGE:
        return "the same direction: here it served nothing"
    return None


def _first(compared: Compared) -> str | None:
    return "the others of its ladder are compared with it" if compared.to is None else None


def _close(compared: Compared) -> str | None:
    published, ours = compared.logs
    allowed = min(max(OFF_BY * abs(published), CLOSEST), FARTHEST)
    if abs(ours - published) <= allowed:
        return f"within × {math.exp(allowed):.3g} of the published ratio"
    return None


def _undecided(compared: Compared) -> str | None:
    published, _ = compared.logs
    if not (compared.includes(0.0) and compared.includes(published)):
        return None
    if abs(published) <= NO_CHANGE and not compared.wide:
        return None
    return "our interval holds both no change and the published ratio: more REPEATS"


def _same_shape(compared: Compared) -> str | None:
    published, ours = compared.logs
    if abs(published) <= NO_CHANGE and abs(ours) <= NO_CHANGE:
        return "no change, there and here"
    if (
        abs(published) > NO_CHANGE
        and abs(ours) > NO_CHANGE
        and published * ours > 0
        and not compared.includes(0.0)
    ):
        return f"the same direction, {'more' if abs(ours) > abs(published) else 'less'} of it"
    return None


def _no_room(compared: Compared) -> str | None:
    """More workers gain nothing where one already has all the CPU there is, or all the users."""
    published, _ = compared.logs
    above = compared.to_row
    if above is None or not (compared.change or "").startswith("workers = ") or published <= NO_CHANGE:
        return None
    if above.limit == "cpu":
        return f"{compared.to} has its one CPU full: more workers on it add none"
    if above.limit == "parked requests":
        return f"{compared.to} serves all its users at once already: there are none left for more workers"
    return None


# In this order: the first rule that yields a reason decides the outcome.
_RULES: tuple[tuple[Outcome, Callable[[Compared], str | None]], ...] = (
    ("cannot be", lambda compared: compared.impossible),
    ("not measured", _not_measured),
    ("shape reproduced", _nothing),
    ("invalid", _invalid),
    ("first stage", _first),
    ("undecided", _undecided),
    ("reproduced", _close),
    ("shape reproduced", _same_shape),
    ("cannot be", _no_room),
)


def outcome(compared: Compared) -> tuple[Outcome, str]:
    """The outcome and its reason."""
    for name, reason_of in _RULES:
        reason = reason_of(compared)
        if reason is not None:
            return name, reason
    return "not reproduced", "another ratio"
