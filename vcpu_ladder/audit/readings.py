"""Rules that say what a row would mean: the missing figure, if this or that were the limit."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, log10

from vcpu_ladder.audit.ceilings import CEILINGS
from vcpu_ladder.audit.figures import Row, Timeout
from vcpu_ladder.audit.finding import ROUNDING, Finding, Rule, number, seconds

# A timeout is a reading of a row when users ÷ RPS is this near to it.
NEAR_TIMEOUT = 0.05
TIME_A_WORKER = "time a worker"


def _round_number(value: float) -> int:
    """The nearest number with one digit that is not nought: 100.8 -> 100."""
    unit = 10.0 ** floor(log10(value))
    return int(round(value / unit) * unit)


def _timeouts(row: Row) -> Iterator[Finding]:
    for timeout in row.timeouts:
        yield from _timeout(row, timeout)
        if row.max_ms is not None and abs(row.max_ms / 1000 / timeout.s - 1) <= ROUNDING / 2:
            text = f"the slowest end at {timeout.name}, {row.failed_ratio:.1%} failed. {timeout.seen}"
            yield Finding("timeout", "reading", f"max {seconds(row.max_ms)} = {number(timeout.s)} s", text)


def _timeout(row: Row, timeout: Timeout) -> Iterator[Finding]:
    if row.rps is None:
        return
    implied = row.rps * timeout.s
    users = row.users or _round_number(implied)
    wait_s = users / row.rps - row.think_ms / 1000
    if abs(wait_s / timeout.s - 1) > (NEAR_TIMEOUT if row.users else ROUNDING):
        return
    whose = (
        "" if row.users else f" (users are not published; {number(timeout.s)} s would take {number(implied)})"
    )
    text = f"the mean wait would be {timeout.name}, {number(timeout.s)} s{whose}. {timeout.seen}"
    yield Finding("timeout", "reading", f"{users:,} users ÷ {number(row.rps)}/s = {number(wait_s)} s", text)


def _held(row: Row) -> Iterator[Finding]:
    """What a request would hold a thread for, where the delay is not known."""
    served = row.served_rps
    if not served or row.delay_ms is not None:
        return
    if row.threads is not None and row.workers is not None:
        slots = row.threads * row.workers
        text = "if the threads were the limit, each request would hold one for so long"
        yield Finding(
            "threads held",
            "reading",
            f"{slots} threads ÷ {number(served)}/s = {seconds(slots * 1000 / served)}",
            text,
        )
        text = "if requests were served one at a time, each would take so long"
        yield Finding("one at a time", "reading", f"1 ÷ {number(served)}/s = {seconds(1000 / served)}", text)


def _loops(row: Row) -> Iterator[Finding]:
    if row.workers is None and row.blocks_ms is not None and row.served_rps:
        needed = row.served_rps * row.blocks_ms / 1000
        yield Finding(
            "workers needed",
            "reading",
            f"{number(row.served_rps)}/s served × {seconds(row.blocks_ms)} = {number(needed)} event loops",
            "the number of workers is not published; it cannot have been fewer",
        )


def _time_a_worker(row: Row) -> Iterator[Finding]:
    explained = any(found.verdict == "explains" for rule in CEILINGS for found in rule.apply(row))
    if explained or row.workers is None or row.rps is None or row.users is None:
        return
    yield Finding(
        TIME_A_WORKER,
        "reading",
        f"{row.workers} ÷ {number(row.rps)}/s = {seconds(row.workers * 1000 / row.rps)}",
        "no given ceiling explains the rate; a worker had so long for each request",
    )


READINGS: tuple[Rule, ...] = (
    Rule("timeout", "users ÷ RPS = a timeout: the requests end by it", _timeouts),
    Rule(
        "threads held",
        "threads ÷ RPS = time a thread is held; 1 ÷ RPS = time of a request served alone",
        _held,
    ),
    Rule("workers needed", "RPS × time the loop is blocked ≤ event loops", _loops),
    Rule(
        TIME_A_WORKER,
        "where no ceiling explains the rate: workers ÷ RPS = what a request may have cost",
        _time_a_worker,
    ),
)
