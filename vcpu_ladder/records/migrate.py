"""Records of older schemas, migrated to today's one version at a time.

Schema history:

1. The first. ``service_errors``, ``curves``, ``published_others``, ``failures_count`` and ``budget`` were
added during its lifetime: they are empty where missing. So were knobs: one that a record lacks gets its
default, because the default of a knob added later is what the service did before it existed.
2. ``load`` has one of two shapes, by its model, without the other model's fields; the rate of an open load is
no longer part of ``load_fingerprint`` (older records keep theirs: they were compared at their own rate
only). ``source.parts`` has the workload by part, and ``source.workload`` is gone; older records keep
theirs, because the parts of what they ran are not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.contract.knobs import KNOBS
from vcpu_ladder.records.record import SCHEMA

# Every record ever written has these: if one lacks them, their values cannot be known.
FIRST_KNOBS = (
    *("handlers", "threads", "server", "workers", "sqlite", "pool", "pool_size", "pool_overflow", "hold"),
    *("http_client", "upstream", "upstream_timeout_s", "instrumentation", "cpus"),
)
# Numeric knobs count threads, connections, milliseconds: one beyond this was never run.
_MOST = 10**9


def migrated(raw: Any) -> dict[str, Any]:
    """The record's content in today's schema.

    Raises ValueError, in one line, for what is not a record, is a newer one, or lacks a knob whose value
    cannot be known.
    """
    if not isinstance(raw, dict):
        raise ValueError("not a record: no JSON object")
    schema = raw.get("schema_version")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ValueError("not a record: no schema_version")
    if schema > SCHEMA:
        raise ValueError(f"made by a newer vcpu-ladder (schema {schema})")
    for step in range(schema, SCHEMA):
        raw = {**_STEPS[step](raw), "schema_version": step + 1}
    return {**raw, "knobs": all_knobs(raw.get("knobs"))}


def all_knobs(knobs: Any) -> dict[str, Any]:
    """The knobs, with those added since then at their defaults. Unknown ones, as of another branch, stay."""
    if not isinstance(knobs, dict):
        raise ValueError("knobs: not an object")
    missing = [name for name in FIRST_KNOBS if name not in knobs]
    if missing:
        raise ValueError(f"knobs: {missing[0]} is missing, and its value cannot be known")
    for name, value in knobs.items():
        numeric = KNOBS[name].numeric if name in KNOBS else isinstance(value, int)
        fits = type(value) is int and 0 <= value <= _MOST if numeric else isinstance(value, str)
        if not fits:
            raise ValueError(f"knobs: {name!r} is {'no whole number in bounds' if numeric else 'no word'}")
    return {**{name: knob.default for name, knob in KNOBS.items()}, **knobs}


def _to_2(raw: Mapping[str, Any]) -> dict[str, Any]:
    return dict(raw)  # schema 1 already left out the other model's fields; new fields may be missing


_STEPS: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _to_2}
"""{schema: the function that migrates its records to the next schema}."""
