"""What a rule says of a claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from vcpu_ladder.audit.claims import Claim

# ``agrees``: the figures fit one another. ``explains``: the claim reaches this ceiling. ``room``: the ceiling
# is far above the claim. ``reading``: one possible explanation, which the figures neither prove nor rule out.
# ``doubtful``: possible only if something unusual happened. ``cannot be``: no run can have these figures.
FindingKind = Literal["agrees", "explains", "room", "reading", "doubtful", "cannot be"]

# Published figures are rounded to two or three digits.
ROUNDING = 0.02


@dataclass(frozen=True)
class Finding:
    """``arithmetic`` is the calculation with its figures; ``text`` is what follows from it."""

    rule: str
    kind: FindingKind
    arithmetic: str
    text: str


@dataclass(frozen=True)
class Rule:
    """``formula`` in words; ``apply`` yields its findings, none where the claim lacks a figure."""

    name: str
    formula: str
    apply: Callable[[Claim], Iterator[Finding]]


def number(value: float) -> str:
    """Three significant digits, but never fewer than the integer part has."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value_ms: float) -> str:
    """``15.2 s`` or ``46 ms``."""
    return f"{number(value_ms / 1000)} s" if value_ms >= 1000 else f"{number(value_ms)} ms"
