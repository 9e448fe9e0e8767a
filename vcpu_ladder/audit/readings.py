"""Rules that say what a claim would imply: the missing figure, if a given resource were the limit."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, log10

from vcpu_ladder.audit.ceilings import CEILINGS
from vcpu_ladder.audit.claims import Claim, Timeout
from vcpu_ladder.audit.finding import ROUNDING, Finding, Rule, number, seconds

# A timeout is a possible explanation of a claim when users ÷ RPS is this close to it.
NEAR_TIMEOUT = 0.05
TIME_A_WORKER = "time a worker"


def _round_number(value: float) -> int:
    """The nearest number with one non-zero digit: 100.8 -> 100."""
    unit = 10.0 ** floor(log10(value))
    return int(round(value / unit) * unit)


def _timeouts(claim: Claim) -> Iterator[Finding]:
    for timeout in claim.timeouts:
        yield from _timeout(claim, timeout)
        if claim.max_ms is not None and abs(claim.max_ms / 1000 / timeout.s - 1) <= ROUNDING / 2:
            text = f"the slowest end at {timeout.name}, {claim.failed_ratio:.1%} failed. {timeout.seen}"
            yield Finding("timeout", "reading", f"max {seconds(claim.max_ms)} = {number(timeout.s)} s", text)


def _timeout(claim: Claim, timeout: Timeout) -> Iterator[Finding]:
    if claim.rps is None:
        return
    implied = claim.rps * timeout.s
    users = claim.users or _round_number(implied)
    wait_s = users / claim.rps - claim.think_ms / 1000
    if abs(wait_s / timeout.s - 1) > (NEAR_TIMEOUT if claim.users else ROUNDING):
        return
    whose = (
        ""
        if claim.users
        else f" (users are not published; {number(timeout.s)} s would take {number(implied)})"
    )
    text = f"the mean wait would be {timeout.name}, {number(timeout.s)} s{whose}. {timeout.seen}"
    yield Finding("timeout", "reading", f"{users:,} users ÷ {number(claim.rps)}/s = {number(wait_s)} s", text)


def _held(claim: Claim) -> Iterator[Finding]:
    """How long a request would hold a thread, where the delay is not known."""
    served = claim.served_rps
    if not served or claim.delay_ms is not None:
        return
    if claim.threads is not None and claim.workers is not None:
        slots = claim.threads * claim.workers
        text = "if the threads were the limit, each request would hold one for so long"
        yield Finding(
            "threads held",
            "reading",
            f"{slots} threads ÷ {number(served)}/s = {seconds(slots * 1000 / served)}",
            text,
        )
        text = "if requests were served one at a time, each would take so long"
        yield Finding("one at a time", "reading", f"1 ÷ {number(served)}/s = {seconds(1000 / served)}", text)


def _loops(claim: Claim) -> Iterator[Finding]:
    if claim.workers is None and claim.blocks_ms is not None and claim.served_rps:
        needed = claim.served_rps * claim.blocks_ms / 1000
        yield Finding(
            "workers needed",
            "reading",
            f"{number(claim.served_rps)}/s served × {seconds(claim.blocks_ms)} = "
            f"{number(needed)} event loops",
            "the number of workers is not published; it cannot have been fewer",
        )


def _time_a_worker(claim: Claim) -> Iterator[Finding]:
    explained = any(found.kind == "explains" for rule in CEILINGS for found in rule.apply(claim))
    if explained or claim.workers is None or claim.rps is None or claim.users is None:
        return
    yield Finding(
        TIME_A_WORKER,
        "reading",
        f"{claim.workers} ÷ {number(claim.rps)}/s = {seconds(claim.workers * 1000 / claim.rps)}",
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
