"""Where a stage can run: one entry per environment. ``--environment``, its help, the default choice,
``doctor`` and the error for an unknown name all come from here.

An environment's own modules are imported only when it is looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vcpu_ladder.environments.base import Environment
from vcpu_ladder.errors import EnvironmentNotReady, UsageError


@dataclass(frozen=True)
class Found:
    """An available environment: its name, a few words for the user, and how to make it."""

    name: str
    words: str
    make: Callable[[], Environment]


@dataclass(frozen=True)
class Entry:
    """``look`` raises EnvironmentNotReady, saying what is missing, if the environment is not available."""

    name: str
    look: Callable[[], Found]


def _compose() -> Found:
    from vcpu_ladder.environments.compose.engine import Engine
    from vcpu_ladder.environments.compose.environment import ComposeEnvironment

    engine = Engine.find()
    version = engine.info["ServerVersion"]
    return Found(
        "compose",
        f"compose, Docker {version} with Compose {engine.compose_version}",
        lambda: ComposeEnvironment(engine),
    )


def _native() -> Found:
    from vcpu_ladder.environments.native.environment import NativeEnvironment

    return Found("native", "native", NativeEnvironment)


# In order of preference: if none was requested, the first available one is chosen.
ENVIRONMENTS: list[Entry] = [Entry("compose", _compose), Entry("native", _native)]


def names() -> str:
    """The names as a help text lists them: ``compose or native``."""
    known = [entry.name for entry in ENVIRONMENTS]
    return " or ".join(filter(None, [", ".join(known[:-1]), known[-1]]))


def find(name: str | None) -> tuple[Found, str]:
    """The environment of that name, else the first available one; and one line that says which, and why.

    Raises UsageError for an unknown name, EnvironmentNotReady if the environment is not available.
    """
    if name is not None:
        for entry in ENVIRONMENTS:
            if entry.name == name:
                found = entry.look()
                return found, f"environment: {found.words}"
        known = ", ".join(entry.name for entry in ENVIRONMENTS)
        raise UsageError(f"ENVIRONMENT = {name!r} is not one of: {known}")
    missing: list[str] = []
    for entry in ENVIRONMENTS:
        try:
            found = entry.look()
        except EnvironmentNotReady as error:
            missing.append(error.what)
            continue
        return found, f"environment: {found.words}" + (f", for {'; '.join(missing)}" if missing else "")
    raise EnvironmentNotReady(f"no environment is available: {'; '.join(missing)}")


def choose(name: str | None) -> tuple[Environment, str]:
    """``find``, then make the environment."""
    found, line = find(name)
    return found.make(), line
