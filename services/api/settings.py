"""The service's settings: ``API_*`` variables, validated at start through the registry of knobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.contract.knob import Value
from services.contract.knobs import KNOBS
from services.contract.labels import RUN_LABELS


class SettingsError(ValueError):
    """An ``API_*`` variable that is missing, unknown or not allowed; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """This worker's settings. ``knobs`` holds every knob; ``run`` the labels {ladder, stage, run} for the
    live view, empty strings if none were given; the rest says where things are."""

    knobs: Mapping[str, Value]
    sqlite_path: Path
    database_url: str
    upstream_url: str
    run: Mapping[str, str]

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read and validate. Raises SettingsError naming the variable."""
        known = {knob.variable for knob in KNOBS.values()}
        known |= {"API_SQLITE_PATH", "API_DATABASE_URL", "API_UPSTREAM_URL"}
        known |= set(RUN_LABELS.values())
        unknown = sorted(name for name in env if name.startswith("API_") and name not in known)
        if unknown:
            raise SettingsError(f"unknown setting {unknown[0]}: known are {', '.join(sorted(known))}")
        try:
            # A profile name only concerns the mock, and a ladder may define its own profiles.
            knobs = {
                name: knob.parse(env.get(knob.variable, knob.default), (env.get(knob.variable, ""),))
                if name == "upstream"
                else knob.parse(env.get(knob.variable, knob.default))
                for name, knob in KNOBS.items()
            }
        except ValueError as error:
            raise SettingsError(f"API_*: {error}") from None
        place = {"sqlite": "API_SQLITE_PATH", "postgres": "API_DATABASE_URL"}[str(knobs["database"])]
        for needed in (place, "API_UPSTREAM_URL"):
            if not env.get(needed):
                raise SettingsError(f"{needed} is not set")
        return cls(
            knobs,
            sqlite_path=Path(env.get("API_SQLITE_PATH", "")),
            database_url=env.get("API_DATABASE_URL", ""),
            upstream_url=env["API_UPSTREAM_URL"].rstrip("/"),
            run={label: env.get(variable, "") for label, variable in RUN_LABELS.items()},
        )

    @property
    def application_name(self) -> str:
        """The name of this worker's connections in the server's ``pg_stat_activity``."""
        return f"ladder-api-{os.getpid()}"

    def word(self, knob: str) -> str:
        return str(self.knobs[knob])

    def number(self, knob: str) -> int:
        return int(self.knobs[knob])
