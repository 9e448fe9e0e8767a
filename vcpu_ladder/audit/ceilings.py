"""Rules that compare a claim's throughput with what its resources allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vcpu_ladder.audit.claims import Claim
from vcpu_ladder.audit.finding import ROUNDING, Finding, Rule, number, seconds

# A claim this close to a ceiling is explained by it.
NEAR = 0.85
# When a request is shorter than this share of the load, counting whole requests proves nothing.
LONG_CYCLE = 0.01


def _ceiling(name: str, slots_of: Callable[[Claim], tuple[float, str] | None], held: str) -> Rule:
    """A resource with a number of slots, each held for the time ``held``, serves slots ÷ held."""

    def apply(claim: Claim) -> Iterator[Finding]:
        slots, held_ms, served = slots_of(claim), getattr(claim, held), claim.served_rps
        if slots is None or held_ms is None or served is None:
            return
        count, words = slots
        held_ms += claim.think_ms if name == "users" else 0.0
        allowed = count * 1000 / held_ms
        share = served / allowed
        sum_ = f"{words} ÷ {seconds(held_ms)} = {number(allowed)}/s"
        if share > 1 + ROUNDING:
            yield Finding(name, "cannot be", sum_, f"{number(served)}/s served is {share - 1:.0%} more")
        elif share >= NEAR:
            yield Finding(name, "explains", sum_, f"{number(served)}/s served is {share:.0%} of it")
        else:
            yield Finding(name, "room", sum_, f"{number(served)}/s served is {share:.0%} of it")

    return Rule(name, f"{_WORDS[name]} ÷ {held.removesuffix('_ms')} time ≥ requests served a second", apply)


_WORDS = {
    "users": "users",
    "threads": "workers × threads",
    "event loop": "workers",
    "pool": "workers × connections",
    "cpu": "CPUs",
}


def _users(claim: Claim) -> tuple[float, str] | None:
    return None if claim.users is None else (claim.users, f"{claim.users:,} users")


def _of_workers(field: str, word: str) -> Callable[[Claim], tuple[float, str] | None]:
    def slots(claim: Claim) -> tuple[float, str] | None:
        each = getattr(claim, field)
        if each is None or claim.workers is None:
            return None
        return claim.workers * each, f"{claim.workers} × {each} {word}"

    return slots


def _workers(claim: Claim) -> tuple[float, str] | None:
    return (
        None
        if claim.workers is None
        else (claim.workers, f"{claim.workers} event loop{'' if claim.workers == 1 else 's'}")
    )


def _cpus(claim: Claim) -> tuple[float, str] | None:
    return None if claim.cpus is None else (claim.cpus, f"{claim.cpus:g} CPUs")


def _cycles(claim: Claim) -> Iterator[Finding]:
    """Each user (or each thread, if there are fewer) completes only whole requests before the load ends."""
    cycle_ms = claim.delay_ms
    if (
        cycle_ms is None
        or claim.users is None
        or claim.load_s is None
        or claim.requests is None
        or claim.drain_s
    ):
        return
    cycle_s = (max(cycle_ms, claim.min_ms or 0.0) + claim.think_ms) / 1000
    if cycle_s < LONG_CYCLE * claim.load_s:
        return
    threads = claim.workers * claim.threads if claim.workers and claim.threads else claim.users
    slots = min(claim.users, threads)
    starts = [claim.ramp_s * n / claim.users for n in range(slots)]
    whole = [int((claim.load_s - start) / cycle_s) for start in starts]
    allowed = sum(whole)
    each = f"{min(whole)}" if min(whole) == max(whole) else f"{min(whole)} to {max(whole)}"
    who = f"{slots} {'threads' if slots < claim.users else 'users'}"
    sum_ = f"{who} × {each} whole requests of {number(cycle_s)} s in {number(claim.load_s)} s = {allowed:,}"
    if claim.requests > allowed * (1 + ROUNDING):
        yield Finding("whole requests", "cannot be", sum_, f"{claim.requests:,} were counted")
    else:
        near = claim.requests >= allowed * NEAR
        yield Finding(
            "whole requests", "explains" if near else "room", sum_, f"{claim.requests:,} were counted"
        )


CEILINGS: tuple[Rule, ...] = (
    _ceiling("users", _users, "delay_ms"),
    _ceiling("threads", _of_workers("threads", "threads"), "delay_ms"),
    _ceiling("event loop", _workers, "blocks_ms"),
    _ceiling("pool", _of_workers("pool", "connections"), "hold_ms"),
    _ceiling("cpu", _cpus, "cpu_ms"),
    Rule(
        "whole requests",
        "each user or thread ends whole requests only: users × ⌊load ÷ delay⌋ ≥ requests",
        _cycles,
    ),
)
