"""Rules that hold a row's throughput against what its resources allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vcpu_ladder.audit.figures import Row
from vcpu_ladder.audit.finding import ROUNDING, Finding, Rule, number, seconds

# A row this near to a ceiling is explained by it.
NEAR = 0.85
# Requests shorter than this share of the load make a count of whole cycles say nothing.
LONG_CYCLE = 0.01


def _ceiling(name: str, slots_of: Callable[[Row], tuple[float, str] | None], held: str) -> Rule:
    """A resource of so many slots, each held for the figure ``held``, serves slots ÷ held."""

    def apply(row: Row) -> Iterator[Finding]:
        slots, held_ms, served = slots_of(row), getattr(row, held), row.served_rps
        if slots is None or held_ms is None or served is None:
            return
        count, words = slots
        held_ms += row.think_ms if name == "users" else 0.0
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


def _users(row: Row) -> tuple[float, str] | None:
    return None if row.users is None else (row.users, f"{row.users:,} users")


def _of_workers(field: str, word: str) -> Callable[[Row], tuple[float, str] | None]:
    def slots(row: Row) -> tuple[float, str] | None:
        each = getattr(row, field)
        if each is None or row.workers is None:
            return None
        return row.workers * each, f"{row.workers} × {each} {word}"

    return slots


def _workers(row: Row) -> tuple[float, str] | None:
    return (
        None
        if row.workers is None
        else (row.workers, f"{row.workers} event loop{'' if row.workers == 1 else 's'}")
    )


def _cpus(row: Row) -> tuple[float, str] | None:
    return None if row.cpus is None else (row.cpus, f"{row.cpus:g} CPUs")


def _cycles(row: Row) -> Iterator[Finding]:
    """Each user, or each thread where there are fewer, ends only whole requests before the load ends."""
    cycle_ms = row.delay_ms
    if cycle_ms is None or row.users is None or row.load_s is None or row.requests is None or row.drain_s:
        return
    cycle_s = (max(cycle_ms, row.min_ms or 0.0) + row.think_ms) / 1000
    if cycle_s < LONG_CYCLE * row.load_s:
        return
    threads = row.workers * row.threads if row.workers and row.threads else row.users
    slots = min(row.users, threads)
    starts = [row.ramp_s * n / row.users for n in range(slots)]
    whole = [int((row.load_s - start) / cycle_s) for start in starts]
    allowed = sum(whole)
    each = f"{min(whole)}" if min(whole) == max(whole) else f"{min(whole)} to {max(whole)}"
    who = f"{slots} {'threads' if slots < row.users else 'users'}"
    sum_ = f"{who} × {each} whole requests of {number(cycle_s)} s in {number(row.load_s)} s = {allowed:,}"
    if row.requests > allowed * (1 + ROUNDING):
        yield Finding("whole requests", "cannot be", sum_, f"{row.requests:,} were counted")
    else:
        near = row.requests >= allowed * NEAR
        yield Finding(
            "whole requests", "explains" if near else "room", sum_, f"{row.requests:,} were counted"
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
