"""A histogram cheap enough to keep for every request: counts of durations in log-linear buckets."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

# 128 buckets per octave: a bucket is at most 1/128 of its value wide, so its middle is within 0.4 %.
# Values under 256 µs have a bucket per microsecond.
_SUB_BITS: Final = 7
_SUB: Final = 1 << _SUB_BITS
_OCTAVES: Final = 34  # up to 2^41 µs, 25 days; longer ones count in the last bucket
_BUCKETS: Final = (_OCTAVES + 1) * _SUB
_LAST: Final = _BUCKETS - 1


class Histogram:
    """Durations in ms; negative ones count as 0. Mean and maximum are exact.

    Sorting a ring of recent values on request is no alternative: sorting 65,536 floats, once a second while a
    run is sampled, would block the loop for longer than the timer error we promise.
    """

    __slots__ = ("_counts", "max_ms", "n", "total_ms")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._counts = [0] * _BUCKETS
        self.n = 0
        self.total_ms = 0.0
        self.max_ms = float("-inf")

    def add(self, value_ms: float) -> None:
        self.n += 1
        self.total_ms += value_ms
        if value_ms > self.max_ms:
            self.max_ms = value_ms
        us = int(value_ms * 1000)
        shift = us.bit_length() - _SUB_BITS - 1
        if shift <= 0:
            self._counts[us if us > 0 else 0] += 1
        else:
            index = (shift << _SUB_BITS) + (us >> shift)
            self._counts[index if index < _BUCKETS else _LAST] += 1

    @property
    def mean_ms(self) -> float | None:
        return self.total_ms / self.n if self.n else None

    def quantiles_ms(self, shares: Sequence[float]) -> list[float | None]:
        """The value in ms that each share (0 to 1) of the durations is below, within 0.4 %; None if empty."""
        if not self.n:
            return [None] * len(shares)
        cumulative = list(accumulate(self._counts))
        found = (bisect_left(cumulative, max(1, share * self.n)) for share in shares)
        return [min(_middle_us(index) / 1000, self.max_ms) for index in found]

    def cumulative(self, bounds_ms: Sequence[float]) -> list[int]:
        """For each bound, how many durations are at most that long, to the resolution of a bucket."""
        cumulative = list(accumulate(self._counts))
        return [cumulative[_index(int(bound * 1000))] for bound in bounds_ms]


def _index(us: int) -> int:
    shift = us.bit_length() - _SUB_BITS - 1
    if shift <= 0:
        return max(us, 0)
    return min((shift << _SUB_BITS) + (us >> shift), _LAST)


def _middle_us(index: int) -> float:
    """Middle of a bucket in µs."""
    shift = (index >> _SUB_BITS) - 1
    if shift <= 0:
        return index + 0.5
    return (index - (shift << _SUB_BITS) + 0.5) * (1 << shift)
