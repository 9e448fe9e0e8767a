"""The service's settings: ``API_*`` variables, validated at start through the registry of knobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vcpu_ladder.knobs import KNOBS, Value

# Label of the live view: the variable that an environment sets it by.
RUN_LABELS = {"ladder": "API_RUN_LADDER", "stage": "API_RUN_STAGE", "run": "API_RUN_ID"}


class SettingsError(ValueError):
    """An ``API_*`` variable that is missing, unknown or not allowed; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """What this worker was told. ``knobs`` holds every knob; ``run`` the labels {ladder, stage, run} that
    the live view shows, empty where nobody gave any; the rest says where things are."""

    knobs: Mapping[str, Value]
    sqlite_path: Path
    upstream_url: str
    run: Mapping[str, str]

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read and validate. Raises SettingsError naming the variable."""
        places = {"API_SQLITE_PATH", "API_UPSTREAM_URL"}
        known = {knob.variable for knob in KNOBS.values()} | places | set(RUN_LABELS.values())
        unknown = sorted(name for name in env if name.startswith("API_") and name not in known)
        if unknown:
            raise SettingsError(f"unknown setting {unknown[0]}: known are {', '.join(sorted(known))}")
        missing = sorted(place for place in places if not env.get(place))
        if missing:
            raise SettingsError(f"{missing[0]} is not set")
        try:
            # A profile name only concerns the mock, and a ladder may bring profiles of its own.
            knobs = {
                name: knob.parse(env.get(knob.variable, knob.default), (env.get(knob.variable, ""),))
                if name == "upstream"
                else knob.parse(env.get(knob.variable, knob.default))
                for name, knob in KNOBS.items()
            }
        except ValueError as error:
            raise SettingsError(f"API_*: {error}") from None
        run = {label: env.get(variable, "") for label, variable in RUN_LABELS.items()}
        return cls(knobs, Path(env["API_SQLITE_PATH"]), env["API_UPSTREAM_URL"].rstrip("/"), run)

    def word(self, knob: str) -> str:
        return str(self.knobs[knob])

    def number(self, knob: str) -> int:
        return int(self.knobs[knob])
