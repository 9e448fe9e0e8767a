"""Records of older schemas, brought to today's one step at a time.

Schema history:

1. The first. ``service_errors``, ``curves``, ``published_others``, ``failures_count`` and ``budget`` came
   while it lasted: they are empty where they are missing. So did knobs: one that a record lacks is set to its
   default, because a knob added later has for its default what the service did before it.
2. ``load`` is of one of two shapes, by its model, with nothing of the other; the rate of an open load is no
   longer part of ``load_fingerprint`` (an older one keeps its own: it was compared with its own rate only).
   ``source.parts`` names the workload by part, and ``source.workload`` is gone; older records keep theirs,
   because what they ran is not known by part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.contract.knobs import KNOBS
from vcpu_ladder.records.record import SCHEMA

# Every record ever written has these: what they would have been in one that lacks them is not known.
FIRST_KNOBS = (
    *("handlers", "threads", "server", "workers", "sqlite", "pool", "pool_size", "pool_overflow", "hold"),
    *("http_client", "upstream", "upstream_timeout_s", "instrumentation", "cpus"),
)
# Numeric knobs count threads, connections, milliseconds: one beyond this was never run.
_MOST = 10**9


def migrated(raw: Any) -> dict[str, Any]:
    """The record's content in today's schema.

    Raises ValueError, in one line, for what is no record, is a newer one, or lacks a knob of which nobody
    knows what it was.
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
    """The knobs with those added since at their defaults. Unknown ones, as of another branch, stay."""
    if not isinstance(knobs, dict):
        raise ValueError("knobs: not an object")
    missing = [name for name in FIRST_KNOBS if name not in knobs]
    if missing:
        raise ValueError(f"knobs: {missing[0]} is missing, and what it was is not known")
    for name, value in knobs.items():
        numeric = KNOBS[name].numeric if name in KNOBS else isinstance(value, int)
        fits = type(value) is int and 0 <= value <= _MOST if numeric else isinstance(value, str)
        if not fits:
            raise ValueError(f"knobs: {name!r} is {'no whole number in bounds' if numeric else 'no word'}")
    return {**{name: knob.default for name, knob in KNOBS.items()}, **knobs}


def _to_2(raw: Mapping[str, Any]) -> dict[str, Any]:
    return dict(raw)  # written without the fields of the other model already; what is new may be missing


_STEPS: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _to_2}
"""{schema: what brings a record of it to the next}."""
