"""Which environment a command uses: the one that was asked for, else Compose where an engine answers."""

from __future__ import annotations

from vcpu_ladder.environments.base import Environment
from vcpu_ladder.environments.compose.engine import Engine
from vcpu_ladder.environments.compose.environment import ComposeEnvironment
from vcpu_ladder.environments.native.environment import NativeEnvironment
from vcpu_ladder.errors import EnvironmentNotReady, UsageError

NAMES = ("compose", "native")


def find_engine(name: str | None) -> tuple[Engine | None, str]:
    """The engine to use, None for native; and one line that says which environment it is, and why.

    Raises UsageError for a name that is none, EnvironmentNotReady when Compose was asked for in vain.
    """
    if name is not None and name not in NAMES:
        raise UsageError(f"ENVIRONMENT = {name!r} is not one of: {', '.join(NAMES)}")
    if name == "native":
        return None, "environment: native"
    try:
        engine = Engine.find()
    except EnvironmentNotReady as missing:
        if name == "compose":
            raise
        return None, f"environment: native, for {missing.what}"
    version = engine.info["ServerVersion"]
    return engine, f"environment: compose, Docker {version} with Compose {engine.compose_version}"


def choose(name: str | None) -> tuple[Environment, str]:
    """``find_engine``'s answer as an environment."""
    engine, line = find_engine(name)
    return (NativeEnvironment() if engine is None else ComposeEnvironment(engine)), line
