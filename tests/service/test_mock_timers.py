"""The timers: in order, never early, cheap to cancel, on either alarm."""

import asyncio
import ctypes
import math
import random
from collections.abc import Callable
from time import monotonic

import pytest
import uvloop

from services.mock import timers as module
from services.mock.timers import KernelAlarm, LoopAlarm, Timers, alarm_for
from tests.service.test_mock_harness import FakeClock


class Sleeper:
    def __init__(self, name: int, woken: list[tuple[int, float]], clock: Callable[[], float]) -> None:
        self._name = name
        self._woken = woken
        self._clock = clock

    def wake(self) -> None:
        self._woken.append((self._name, self._clock()))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(module, "monotonic", clock.read)
    return clock


def test_sleepers_wake_in_the_order_in_which_they_are_due(clock: FakeClock) -> None:
    timers, woken = Timers(clock.alarm), list[tuple[int, float]]()
    delays = list(range(200))
    random.Random(1).shuffle(delays)
    for delay in delays:
        timers.start(delay, 1000.0 + delay, Sleeper(delay, woken, clock.read))
    while clock.fire_next():
        pass
    assert woken == [(delay, 1000.0 + delay) for delay in range(200)]
    assert len(timers) == 0


def test_a_ring_before_anyone_is_due_wakes_no_one_and_keeps_the_alarm(clock: FakeClock) -> None:
    timers, woken = Timers(clock.alarm), list[tuple[int, float]]()
    timers.start(1, 1005.0, Sleeper(1, woken, clock.read))
    timers.ring()
    assert woken == []
    assert clock.fire_next()
    assert woken == [(1, 1005.0)]


def test_what_is_cancelled_is_not_woken_and_soon_forgotten(clock: FakeClock) -> None:
    timers, woken = Timers(clock.alarm), list[tuple[int, float]]()
    dues_s = random.Random(1).sample(range(1_000, 100_000), 10_000)
    for ticket, due_s in enumerate(dues_s):
        timers.start(ticket, due_s, Sleeper(ticket, woken, clock.read))
    for ticket in range(10_000):
        if ticket % 100:
            timers.cancel(ticket)
    assert len(timers) == 100
    assert len(timers._heap) <= 300
    while clock.fire_next():
        pass
    assert woken == sorted(((ticket, dues_s[ticket]) for ticket in range(0, 10_000, 100)), key=lambda w: w[1])


@pytest.mark.parametrize("kind", [KernelAlarm, LoopAlarm])
def test_on_a_real_loop_no_one_wakes_early(kind: type[KernelAlarm] | type[LoopAlarm]) -> None:
    async def run() -> list[tuple[int, float]]:
        woken: list[tuple[int, float]] = []
        timers = Timers(lambda ring: kind(asyncio.get_running_loop(), ring))
        start_s = monotonic()
        for delay_ms in (30, 0, 7, 7, 1):
            timers.start(
                len(timers) * 1000 + delay_ms, start_s + delay_ms / 1000, Sleeper(delay_ms, woken, monotonic)
            )
        while len(timers):
            await asyncio.sleep(0.005)
        return [(name, (at_s - start_s) * 1000) for name, at_s in woken]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        woken = runner.run(run())
    assert [delay_ms for delay_ms, _ in woken] == [0, 1, 7, 7, 30]
    assert all(kept_ms >= delay_ms for delay_ms, kept_ms in woken)


def test_the_kernels_alarm_can_be_silenced() -> None:
    async def run() -> list[None]:
        rings: list[None] = []
        alarm = KernelAlarm(asyncio.get_running_loop(), lambda: rings.append(None))
        alarm.set(monotonic() + 0.005)
        alarm.set(math.inf)
        await asyncio.sleep(0.02)
        return rings

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == []


def test_the_most_precise_alarm_of_the_system_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = uvloop.new_event_loop()
    assert isinstance(alarm_for(loop)(lambda: None), KernelAlarm)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert isinstance(alarm_for(loop)(lambda: None), LoopAlarm)
    loop.close()
