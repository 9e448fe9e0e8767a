"""``list`` and ``knobs``: what there is to measure."""

from __future__ import annotations

import typer

from services.contract.knobs import KNOBS
from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, out
from vcpu_ladder.ladder.reader import ladders_in, load_ladder
from vcpu_ladder.ladder.resolve import resolve_all

listing = typer.Typer()


@listing.command("list")
@ends_well
def list_command() -> None:
    """All ladders and their stages, each stage with its one change."""
    for path in ladders_in(paths.LADDERS):
        loaded = load_ladder(path)
        resolve_all(loaded)
        out.print(f"{loaded.name}: {loaded.title} ({loaded.load.describe()})", soft_wrap=True)
        for stage in loaded.stages.values():
            change = f"{stage.parent} + {stage.change}" if stage.change else "baseline"
            mark = "" if stage.id in loaded.climb else " (beside)"
            out.print(f"  {stage.id}{mark}: {change}: {stage.title}", soft_wrap=True)


@listing.command("knobs")
@ends_well
def knobs_command() -> None:
    """Every knob a stage may change: allowed values, default, and what it does (a Markdown table)."""
    out.print(knobs_table(), end="", soft_wrap=True)


def knobs_table() -> str:
    """Every knob of the registry, as Markdown."""
    lines = ["| Knob | Default | Allowed | Unit | What it does |", "|---|---|---|---|---|"]
    lines += [
        " ".join(
            ("|", knob.name, "|", str(knob.default), "|", knob.describe_allowed().replace(" | ", ", "), "|")
            + (knob.unit, "|", knob.help, "|")
        )
        for knob in KNOBS.values()
    ]
    return "\n".join(lines) + "\n"
