"""Options that several commands share, and the values that they become."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

from vcpu_ladder import paths
from vcpu_ladder.commands.console import err
from vcpu_ladder.environments.base import Environment
from vcpu_ladder.environments.registry import choose, names
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.durations import parse_duration
from vcpu_ladder.ladder.ladder import Ladder
from vcpu_ladder.ladder.load import Load
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import ResolvedStage, resolve
from vcpu_ladder.ladder.scale import Scale
from vcpu_ladder.ladder.sizes import sized

Warmup = Annotated[
    str | None, typer.Option(help="Warm-up, not part of the figures: 15s, 1m.", envvar="WARMUP")
]
Measure = Annotated[str | None, typer.Option(help="Measured time of each run: 30s, 2m.", envvar="MEASURE")]
Users = Annotated[str | None, typer.Option(help="Users of the closed model.", envvar="USERS")]
Data = Annotated[
    str | None,
    typer.Option(
        "--scale",
        help="Size of the data: 1.0 is 1M users, 5M orders; by default the ladder's.",
        envvar="SCALE",
    ),
]
Repeats = Annotated[str | None, typer.Option(help="Fresh runs of each stage, interleaved.", envvar="REPEATS")]
Full = Annotated[
    bool, typer.Option("--full", help="The published sizes, where the ladder has them.", envvar="FULL")
]
Where = Annotated[str | None, typer.Option("--environment", help=f"{names()}.", envvar="ENVIRONMENT")]


@dataclass(frozen=True)
class RunOptions:
    """How stages are run: the options that ``climb`` and ``run`` share."""

    warmup: Warmup = None
    measure: Measure = None
    users: Users = None
    scale: Data = None
    repeats: Repeats = None
    full: Full = False
    environment: Where = None

    def ladder(self, name: str) -> Ladder:
        """The ladder of that name or path, in the requested size and at the requested scale."""
        return ladder_of(name, self.scale, self.full)

    def load(self, ladder: Ladder) -> Load:
        """The ladder's load with the requested changes. Raises UsageError naming the option."""
        return load_of(ladder, self.warmup, self.measure, self.users)

    def repeats_of(self, default: int) -> int:
        return whole("repeats", self.repeats, default)


P = ParamSpec("P")


def with_run_options(command: Callable[Concatenate[RunOptions, P], None]) -> Callable[P, None]:
    """Give a command each field of ``RunOptions`` as an option; its first argument holds them all."""
    own = inspect.signature(command)
    ours = get_type_hints(RunOptions, include_extras=True)
    hints = get_type_hints(command, include_extras=True)
    _, *others = own.parameters.values()

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        given: dict[str, Any] = {name: kwargs.pop(name) for name in ours if name in kwargs}
        command(RunOptions(**given), *args, **kwargs)

    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, keyword, default=getattr(RunOptions, name), annotation=hint)
        for name, hint in ours.items()
    ]
    kept = [one.replace(annotation=hints[one.name]) for one in others]
    # Typer reads this signature; the command itself gets all of these in its first argument.
    wrapped.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in (*kept, *added)}
    return wrapped


def stage_name(stage: str) -> tuple[str, str]:
    name, _, stage_id = stage.rpartition("/")
    if not name or not stage_id:
        raise UsageError(
            f"{stage!r} is not LADDER/STAGE, for example main/v2", next_command="vcpu-ladder list"
        )
    return name, stage_id


def stage_of(text: str, full: bool) -> ResolvedStage:
    name, stage_id = stage_name(text)
    return resolve(ladder_of(name, None, full), stage_id)


def ladder_of(name: str, scale: str | None, full: bool) -> Ladder:
    path = Path(name) if name.endswith(".toml") else paths.LADDERS / f"{name}.toml"
    loaded = sized(load_ladder(path), "full") if full else load_ladder(path)
    if scale is None:
        return loaded
    try:
        return replace(loaded, scale=Scale(float(scale)))
    except ValueError:
        raise UsageError(
            f"SCALE = {scale!r} is not allowed: a number above 0, at most 1", next_command="--scale 0.01"
        ) from None


def whole(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError(f"{name.upper()} = {text!r} is not a whole number of at least 1")
    return int(text)


def load_of(ladder: Ladder, warmup: str | None, measure: str | None, users: str | None) -> Load:
    changes: dict[str, Any] = {}
    for name, field, text in (("WARMUP", "warmup_s", warmup), ("MEASURE", "measure_s", measure)):
        if text is not None:
            try:
                changes[field] = parse_duration(text)
            except ValueError as error:
                raise UsageError(f"{name}: {error}") from None
    if users is not None:
        if ladder.load.model != "closed":
            raise UsageError(f"USERS: the open model of {ladder.path} has a rate, not users")
        changes["users"] = whole("users", users, 1)
    try:
        return replace(ladder.load, **changes)
    except ValueError as error:
        raise UsageError(str(error)) from None


def environment_of(name: str | None) -> Environment:
    environment, why = choose(name or None)
    err.print(why, soft_wrap=True)
    return environment
