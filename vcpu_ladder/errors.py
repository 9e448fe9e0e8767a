"""Every way a command can fail, each with its exit code.

Only ``commands`` print these and exit; everything below raises them.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class LadderError(Exception):
    """A failure a person can act on: what happened, the evidence, and the next command.

    ``what`` is one line. ``evidence`` is short text such as the last lines of a process's
    stderr. ``next_command`` is what the reader types next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, evidence: str | None = None, next_command: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.evidence = evidence
        self.next_command = next_command


class UsageError(LadderError):
    """A command line or a file that cannot be right: nothing was started."""

    exit_code = 2


class EnvironmentNotReady(LadderError):
    """This machine, or something we started on it, cannot run a stage."""

    exit_code = 3


class RunInvalid(LadderError):
    """A run took place and is recorded, but may not be ranked."""

    exit_code = 4


class Unproven(RunInvalid):
    """A knob is not in force in the running service: the run ended before any load."""


class NotComparable(LadderError):
    """Records to be compared differ in environment, host, load or source."""

    exit_code = 5


class Interrupted(LadderError):
    """The user ended the command (Ctrl-C or SIGTERM)."""

    exit_code = 130


def not_writable(path: Path, error: OSError) -> EnvironmentNotReady:
    return EnvironmentNotReady(f"cannot write {path}: {error.strerror}", next_command="vcpu-ladder doctor")
