"""Rules that check a claim's figures against one another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from vcpu_ladder.audit.claims import Claim
from vcpu_ladder.audit.finding import ROUNDING, Finding, Rule, number, seconds

# A closed loop's median may differ from its mean by this factor before it needs an explanation.
SKEW = 2.0


def _order(claim: Claim) -> Iterator[Finding]:
    steps = [(name, getattr(claim, f"{name}_ms")) for name in ("min", "p50", "p95", "max")]
    known = [(name, value) for name, value in steps if value is not None]
    for (low_name, low), (high_name, high) in pairwise(known):
        if low > high * (1 + ROUNDING):
            yield Finding(
                "order",
                "cannot be",
                f"{low_name} {seconds(low)} > {high_name} {seconds(high)}",
                "out of order",
            )


def _quantiles(claim: Claim) -> Iterator[Finding]:
    if claim.mean_ms is None or claim.p50_ms is None:
        return
    p95 = claim.p95_ms if claim.p95_ms is not None else claim.p50_ms
    low = 0.45 * claim.p50_ms + 0.05 * p95 + 0.5 * (claim.min_ms or 0.0)
    if claim.mean_ms < low * (1 - ROUNDING):
        yield Finding(
            "mean",
            "cannot be",
            f"mean at least 0.5 × {seconds(claim.min_ms or 0)} + 0.45 × {seconds(claim.p50_ms)} "
            f"+ 0.05 × {seconds(p95)} = {seconds(low)}",
            f"the mean of {seconds(claim.mean_ms)} is below it by {1 - claim.mean_ms / low:.0%}",
        )
    if claim.max_ms is None:
        return
    top = claim.p95_ms if claim.p95_ms is not None else claim.max_ms
    high = 0.5 * claim.p50_ms + 0.45 * top + 0.05 * claim.max_ms
    if claim.mean_ms > high * (1 + ROUNDING):
        yield Finding(
            "mean",
            "cannot be",
            f"mean at most 0.5 × {seconds(claim.p50_ms)} + 0.45 × {seconds(top)} "
            f"+ 0.05 × {seconds(claim.max_ms)} = {seconds(high)}",
            f"the mean of {seconds(claim.mean_ms)} is above it by {claim.mean_ms / high - 1:.0%}",
        )


def _window(claim: Claim) -> Iterator[Finding]:
    if claim.requests is None or claim.rps is None or claim.load_s is None:
        return
    counted = claim.requests / claim.rps
    sum_ = f"{claim.requests:,} ÷ {number(claim.rps)}/s = {number(counted)} s"
    whole = claim.load_s + claim.drain_s
    if counted > whole * (1 + ROUNDING):
        text = f"the load, with its end waited for, lasts {number(whole)} s at most"
        yield Finding("window", "cannot be", sum_, text)
    elif counted > claim.load_s * (1 + ROUNDING):
        late = counted - claim.load_s
        text = (
            f"of a load of {number(claim.load_s)} s: {number(late)} s of waiting for the last answers are "
            "in the RPS, which is below what was served under load"
        )
        yield Finding("window", "agrees", sum_, text)
    elif counted < claim.load_s * 0.9:
        text = f"the load lasts {number(claim.load_s)} s: RPS and requests are of different windows"
        yield Finding("window", "doubtful", sum_, text)
    else:
        yield Finding("window", "agrees", sum_, f"of a load of {number(claim.load_s)} s")


def _least_in_flight(claim: Claim) -> float:
    """Average users in flight if every user has a request under way from its start to the end of the load,
    less the requests that were unanswered and so not counted, and if all users stop when the load ends."""
    counted = claim.counted_s
    if claim.users is None or claim.load_s is None or counted is None or claim.mean_ms is None:
        return 0.0
    uncounted_s = (claim.max_ms or 2 * claim.mean_ms) / 1000 if claim.drain_s == 0 else 0.0
    return claim.users * max(0.0, claim.load_s - claim.ramp_s / 2 - uncounted_s) / max(counted, claim.load_s)


def _little(claim: Claim) -> Iterator[Finding]:
    if claim.users is None or claim.rps is None or claim.mean_ms is None:
        return
    in_flight = claim.rps * (claim.mean_ms + claim.think_ms) / 1000
    think = f" + {seconds(claim.think_ms)} thinking" if claim.think_ms else ""
    sum_ = f"{number(claim.rps)}/s × {seconds(claim.mean_ms)}{think} = {number(in_flight)} users in flight"
    least = _least_in_flight(claim)
    if in_flight > claim.users * (1 + ROUNDING):
        text = f"{in_flight / claim.users - 1:.0%} more than the {claim.users:,} there are"
        yield Finding("Little's law", "cannot be", sum_, text)
    elif in_flight < least * (1 - ROUNDING):
        text = (
            f"of {claim.users:,}; ramp and end explain no fewer than {number(least)}: where were the others?"
        )
        yield Finding("Little's law", "doubtful", sum_, text)
    else:
        room = f"; ramp and end allow {number(least)} to {claim.users:,}" if least else ""
        yield Finding("Little's law", "agrees", sum_, f"of {claim.users:,}{room}")


def _median(claim: Claim) -> Iterator[Finding]:
    if claim.users is None or claim.rps is None or claim.p50_ms is None or claim.mean_ms is not None:
        return
    needed_ms = claim.users * 1000 / claim.rps - claim.think_ms
    by_median = claim.rps * claim.p50_ms / 1000
    mean = f"{claim.users:,} ÷ {number(claim.rps)}/s = {seconds(needed_ms)}, the mean"
    sum_ = f"{mean}; median {seconds(claim.p50_ms)}"
    if claim.p50_ms / 2 > needed_ms * (1 + ROUNDING):
        text = f"half of the requests alone need {number(by_median / 2)} users"
        yield Finding("median", "cannot be", sum_, text)
        return
    if claim.p50_ms * SKEW >= needed_ms:
        yield Finding(
            "median", "agrees", sum_, f"by the median {number(by_median)} of {claim.users:,} in flight"
        )
        return
    upper_ms = 2 * needed_ms - claim.p50_ms
    text = (
        f"by the median {number(by_median)} of {claim.users:,} users are in flight. Either the slower half "
        f"took {seconds(upper_ms)} on average at least, or about {number(claim.users - by_median)} users "
        "never got an answer that was counted, or the median is of another moment than the rate. "
        "Do not judge by this median"
    )
    impossible = claim.max_ms is not None and upper_ms > claim.max_ms * (1 + ROUNDING)
    yield Finding("median", "cannot be" if impossible else "doubtful", sum_, text)


def _floor(claim: Claim) -> Iterator[Finding]:
    if claim.delay_ms is None:
        return
    # A failed request may end at any time.
    names = ("min", "p50", "mean") if claim.failed_ratio == 0 else ()
    for name in names:
        value = getattr(claim, f"{name}_ms")
        if value is not None and value < claim.delay_ms * (1 - ROUNDING):
            yield Finding(
                "delay",
                "cannot be",
                f"{name} {seconds(value)} < {seconds(claim.delay_ms)}",
                "an answer before its delay has passed",
            )


CONSISTENCY: tuple[Rule, ...] = (
    Rule("order", "min ≤ median ≤ p95 ≤ max", _order),
    Rule(
        "mean",
        "quantiles bound the mean: 0.5·min + 0.45·p50 + 0.05·p95 ≤ mean ≤ 0.5·p50 + 0.45·p95 + 0.05·max",
        _quantiles,
    ),
    Rule("window", "requests ÷ RPS = seconds counted", _window),
    Rule("Little's law", "RPS × (mean latency + think time) = users in flight ≤ users", _little),
    Rule(
        "median",
        "without a mean: users ÷ RPS = mean, and half of the requests take the median or longer",
        _median,
    ),
    Rule("delay", "no answer before its delay", _floor),
)
