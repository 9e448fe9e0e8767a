"""What happened to every delay request: counters, histograms, and a log of the newest 65,536."""

import math
from array import array
from typing import Final

from services.mock.histogram import Histogram

LOG_SIZE: Final = 65_536
"""How many requests the log keeps; a power of two, so that a slot is found with a bit mask."""

_MASK: Final = LOG_SIZE - 1
_UNFINISHED: Final = math.nan


class Recorder:
    """One process's statistics. Sequence numbers never restart; a reset only moves where counting begins.

    A request that was parked before a reset stays in `in_flight` and is in no other figure after it.
    """

    __slots__ = (
        "_first",
        "_intended_ms",
        "_kept_ms",
        "_keys",
        "_next",
        "aborted_count",
        "bad_requests",
        "completed_count",
        "in_flight",
        "in_flight_max",
        "intended",
        "internal_errors",
        "kept",
        "timer_error",
    )

    def __init__(self) -> None:
        self._keys: list[bytes | None] = [None] * LOG_SIZE
        self._intended_ms = array("d", bytes(8 * LOG_SIZE))
        self._kept_ms = array("d", bytes(8 * LOG_SIZE))
        self._next = 0
        self.in_flight = 0
        self.internal_errors = 0
        self.intended = Histogram()
        self.kept = Histogram()
        self.timer_error = Histogram()
        self.reset()

    def reset(self) -> None:
        """Restart counting. Internal errors are kept: a defect must not be forgotten."""
        self._first = self._next
        self.in_flight_max = self.in_flight
        self.completed_count = 0
        self.aborted_count = 0
        self.bad_requests = 0
        for histogram in (self.intended, self.kept, self.timer_error):
            histogram.clear()

    @property
    def requests(self) -> int:
        """Delay requests that arrived since the last reset: completed, aborted or still parked."""
        return self._next - self._first

    def arrived(self, key: bytes | None, intended_ms: float) -> int:
        """A request is parked. Returns its sequence number, to be handed back when it ends."""
        sequence = self._next
        self._next = sequence + 1
        slot = sequence & _MASK
        self._keys[slot] = key
        self._intended_ms[slot] = intended_ms
        self._kept_ms[slot] = _UNFINISHED
        self.in_flight += 1
        if self.in_flight > self.in_flight_max:
            self.in_flight_max = self.in_flight
        self.intended.add(intended_ms)
        return sequence

    def completed(self, sequence: int, intended_ms: float, kept_ms: float) -> None:
        """The request was answered `kept_ms` after it was parked."""
        self.in_flight -= 1
        if sequence < self._first:
            return
        self.completed_count += 1
        self.kept.add(kept_ms)
        self.timer_error.add(kept_ms - intended_ms)
        if self._next - sequence <= LOG_SIZE:  # else a newer request has its slot
            self._kept_ms[sequence & _MASK] = kept_ms

    def aborted(self, sequence: int) -> None:
        """The client left while the request was parked."""
        self.in_flight -= 1
        if sequence >= self._first:
            self.aborted_count += 1

    def log_csv(self) -> tuple[bytes, int]:
        """(CSV of the newest requests by arrival, how many older ones were dropped).

        Columns `seq,key,intended_ms,kept_ms`; seq counts arrivals since the last reset from 0, key is empty
        when the request had none, kept_ms is empty while it is parked and stays empty if it was aborted.
        """
        oldest = max(self._first, self._next - LOG_SIZE)
        lines = ["seq,key,intended_ms,kept_ms"]
        for sequence in range(oldest, self._next):
            slot = sequence & _MASK
            key, kept_ms = self._keys[slot], self._kept_ms[slot]
            kept = "" if math.isnan(kept_ms) else f"{kept_ms:.3f}"
            name = key.decode("ascii") if key else ""
            lines.append(f"{sequence - self._first},{name},{self._intended_ms[slot]:.3f},{kept}")
        return ("\n".join(lines) + "\n").encode("ascii"), oldest - self._first
