"""Timers of parked requests: one heap and one kernel timer, precise to a fraction of a millisecond.

Not the loop's own timers, because libuv rounds each to whole milliseconds twice, in the timer and in epoll's
timeout: with 128 clients requesting 1 ms, every answer was 1 ms late and the CPU idle for a third of the
time. A timer here is never early, and one alarm, set for the earliest, serves any number of waits.
"""

import asyncio
import ctypes
import math
import os
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from time import monotonic
from typing import Final, Protocol

_CLOCK_MONOTONIC: Final = 1  # the clock of time.monotonic() on Linux
_TFD_TIMER_ABSTIME: Final = 1
_TFD_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_FEW: Final = 100


class Sleeper(Protocol):
    """What a timer wakes."""

    def wake(self) -> None: ...


class Alarm(Protocol):
    """Rings at a given time.monotonic(), in seconds; math.inf disables it. Setting it replaces that time."""

    def set(self, when_s: float) -> None: ...


class Timers:
    """All waits of the process. Tickets are chosen by the caller, each used once."""

    __slots__ = ("_alarm", "_heap", "_set_for_s", "_sleepers")

    def __init__(self, make_alarm: Callable[[Callable[[], None]], Alarm]) -> None:
        self._heap: list[tuple[float, int]] = []  # (due, ticket)
        self._sleepers: dict[int, Sleeper] = {}  # by ticket; a ticket without a sleeper was cancelled
        self._set_for_s = math.inf
        self._alarm = make_alarm(self.ring)

    def __len__(self) -> int:
        return len(self._sleepers)

    def start(self, ticket: int, due_s: float, sleeper: Sleeper) -> None:
        """Wake `sleeper` once time.monotonic() has reached `due_s`."""
        self._sleepers[ticket] = sleeper
        heappush(self._heap, (due_s, ticket))
        if due_s < self._set_for_s:
            self._set(due_s)

    def cancel(self, ticket: int) -> None:
        """Cancel the wait. Its heap entry is removed once cancelled entries are most of the heap."""
        del self._sleepers[ticket]
        if len(self._heap) > 2 * len(self._sleepers) + _FEW:
            self._heap = [entry for entry in self._heap if entry[1] in self._sleepers]
            heapify(self._heap)

    def ring(self) -> None:
        """Wake all that are due, and set the alarm for the next."""
        heap, sleepers = self._heap, self._sleepers
        now_s = monotonic()
        due = []
        while heap and heap[0][0] <= now_s:
            sleeper = sleepers.pop(heappop(heap)[1], None)
            if sleeper is not None:
                due.append(sleeper)
        # Before anyone is woken: timers that they start are then compared with the current alarm.
        self._set(heap[0][0] if heap else math.inf)
        for sleeper in due:
            sleeper.wake()

    def _set(self, when_s: float) -> None:
        self._set_for_s = when_s
        self._alarm.set(when_s)


class KernelAlarm:
    """A Linux timerfd, to the nanosecond. By ctypes: Python has os.timerfd_create only from 3.13 on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._fd = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._when = (ctypes.c_long * 4)()  # struct itimerspec: interval s, ns; value s, ns
        # Never read: every ring sets it again, which also clears its readable state.
        loop.add_reader(self._fd, ring)

    def set(self, when_s: float) -> None:
        if when_s == math.inf:
            self._when[2] = self._when[3] = 0
        else:
            whole_s = int(when_s)
            self._when[2] = whole_s
            self._when[3] = min(int((when_s - whole_s) * 1e9) + 1, 999_999_999)
        self._settime(self._fd, _TFD_TIMER_ABSTIME, self._when, None)


class LoopAlarm:
    """The loop's own timer, to 1 ms: for systems without timerfd."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when_s: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if when_s != math.inf:
            # Half a millisecond more makes uvloop round up: rounded down to 0, it would ring in a tight loop.
            self._handle = self._loop.call_later(max(0.0, when_s - monotonic()) + 0.0005, self._ring)


def alarm_for(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], Alarm]:
    """How to make the most precise alarm that this system has."""
    kind = KernelAlarm if hasattr(ctypes.CDLL(None), "timerfd_create") else LoopAlarm
    return lambda ring: kind(loop, ring)
