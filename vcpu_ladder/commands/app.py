"""The command line: every command, with one file per command or family."""

from __future__ import annotations

import typer

from vcpu_ladder.commands.audit import auditing
from vcpu_ladder.commands.climb import climbing
from vcpu_ladder.commands.compare import comparing
from vcpu_ladder.commands.doctor import examining
from vcpu_ladder.commands.documents import documenting
from vcpu_ladder.commands.list import listing
from vcpu_ladder.commands.replay import replaying
from vcpu_ladder.commands.replicate import replicating
from vcpu_ladder.commands.serve import serving
from vcpu_ladder.commands.stack import stack
from vcpu_ladder.commands.summary import summing

app = typer.Typer(
    help="Climb a ladder of one-change stages with a FastAPI service on one vCPU: what does each change buy?",
    epilog="First: vcpu-ladder doctor. Then: vcpu-ladder climb main. Exit codes: 0 done, 1 bug, 2 usage or "
    "ladder file, 3 environment not ready, 4 a run invalid, 5 not comparable, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for family in (
    climbing,
    replicating,
    replaying,
    serving,
    summing,
    comparing,
    listing,
    documenting,
    auditing,
    examining,
    stack,
):
    app.add_typer(family)


def main() -> None:
    app()
