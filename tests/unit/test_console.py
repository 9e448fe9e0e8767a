"""What a command prints, and how it ends."""

from __future__ import annotations

import pytest
import typer
from rich.console import Console
from rich.table import Table

from vcpu_ladder.commands import console
from vcpu_ladder.commands.console import ends_well
from vcpu_ladder.errors import EnvironmentNotReady

HOSTILE = "a [red]title[/x] :warning: [link=http://x]y"


@pytest.mark.parametrize("one", [console.out, console.err], ids=["standard output", "standard error"])
def test_text_is_never_markup(one: Console) -> None:
    table = Table()
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    with one.capture() as captured:
        one.print(HOSTILE, soft_wrap=True)
        one.print(table)
    assert captured.get().count(HOSTILE) == 3


def test_an_error_is_one_line_its_evidence_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    @ends_well
    def command() -> None:
        raise EnvironmentNotReady(f"what: {HOSTILE}", f"why\n{HOSTILE}", "vcpu-ladder doctor")

    with console.err.capture() as captured, pytest.raises(typer.Exit) as end:
        command()
    assert end.value.exit_code == 3
    assert captured.get().splitlines() == [
        f"error: what: {HOSTILE}",
        "  | why",
        f"  | {HOSTILE}",
        "next: vcpu-ladder doctor",
    ]
