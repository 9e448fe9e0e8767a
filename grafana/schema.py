"""A dashboard's JSON against Grafana's own model of it.

The model reads leniently: it drops unknown keys and accepts any value. So the JSON must come back from it
unchanged, and each value must have the type that the model declares.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

# The Prometheus plugin's own keys of an annotation: Grafana's model does not define them.
_PLUGIN_KEYS = {"step", "titleFormat", "textFormat"}


def schema_faults(raw: dict[str, Any]) -> list[str]:
    """One line for each key that Grafana's model does not know, and for each value of the wrong type."""
    register_default_plugins()
    try:
        model = Dashboard.from_json(raw)
        modelled = json.loads(JSONEncoder().encode(model))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        return [f"not a dashboard: {type(error).__name__}: {error}"]
    return [*_differences(raw, modelled, ""), *_misfits(model, "")]


def _differences(ours: Any, modelled: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(modelled, dict):
        for key, value in ours.items():
            here = f"{path}.{key}"
            if key in modelled:
                yield from _differences(value, modelled[key], here)
            elif not (path.startswith(".annotations.list[") and key in _PLUGIN_KEYS):
                yield f"{here}: unknown to Grafana's model"
    elif isinstance(ours, list) and isinstance(modelled, list) and len(ours) == len(modelled):
        for index, (one, other) in enumerate(zip(ours, modelled, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif ours != modelled:
        yield f"{path}: {ours!r}, in Grafana's model {modelled!r}"


def _misfits(model: Any, path: str) -> Iterator[str]:
    """Attributes whose value does not have the declared type, in the model and everything inside it."""
    if isinstance(model, list):
        for index, one in enumerate(model):
            yield from _misfits(one, f"{path}[{index}]")
    elif type(model).__module__.startswith("grafana_foundation_sdk.models"):
        hints = _hints(type(model))
        for name, value in vars(model).items():
            if name in hints and not _fits(value, hints[name]):
                yield f"{path}.{name}: {value!r} is not a {hints[name]}"
            elif not isinstance(value, Enum):
                yield from _misfits(value, f"{path}.{name}")


def _hints(model: type) -> dict[str, Any]:
    return get_type_hints(model.__init__)  # type: ignore[misc]


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if hint in (Any, object):
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin is list:
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        # When read from JSON it is the bare value.
        return isinstance(value, hint) or value in [one.value for one in hint]
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, origin or hint) if isinstance(origin or hint, type) else True
