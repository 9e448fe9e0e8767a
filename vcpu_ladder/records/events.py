"""What the runner tells whoever watches: the CLI's progress line, a live view, a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vcpu_ladder.records.record import RunRecord


@dataclass(frozen=True)
class Moment:
    """Where a run is. ``left_s`` counts down the phase's load; ``rps`` is the last second's."""

    name: str
    repeat: int
    phase: str
    left_s: float | None = None
    rps: float | None = None


class Listener(Protocol):
    def moment(self, moment: Moment) -> None: ...

    def finished(self, record: RunRecord) -> None: ...


class Silent:
    """Listens to nothing."""

    def moment(self, moment: Moment) -> None: ...

    def finished(self, record: RunRecord) -> None: ...
