"""Results to standard output, progress and errors to standard error, and how a command ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer
from rich.console import Console

from vcpu_ladder import interrupts
from vcpu_ladder.errors import LadderError


def _console(*, stderr: bool = False, width: int | None = None) -> Console:
    """One that shows text as text: what a record, a ladder or an error says is never markup."""
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


# A file or a pipe has no width of its own: give the table the width it needs.
out = _console(width=None if sys.stdout.isatty() else 200)
err = _console(stderr=True)

P = ParamSpec("P")


def ends_well(command: Callable[P, None]) -> Callable[P, None]:
    """Turn our errors into one clear line and the right exit code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        interrupts.install()
        try:
            command(*args, **kwargs)
        except LadderError as error:
            _explain(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            err.print("interrupted")
            raise typer.Exit(130) from None

    return wrapped


def _explain(error: LadderError) -> None:
    err.print(f"error: {error.what}", style="red", soft_wrap=True)
    for line in (error.evidence or "").splitlines():
        err.print(f"  | {line}", soft_wrap=True)
    if error.next_command:
        err.print(f"next: {error.next_command}", soft_wrap=True)


def say(text: str) -> None:
    """A line for people, on standard error; the text is never read as markup."""
    err.print(text, soft_wrap=True)
