"""``vcpu-ladder replicate``: run every published ladder, then print which results reproduce."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, out, say
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.commands.measuring import run_plan, tell_cleaned
from vcpu_ladder.commands.options import environment_of
from vcpu_ladder.commands.summary import write_summary
from vcpu_ladder.environments.base import Environment
from vcpu_ladder.environments.machine import machine_facts, source_facts
from vcpu_ladder.errors import EnvironmentNotReady, RunInvalid, UsageError
from vcpu_ladder.ladder.durations import show_duration
from vcpu_ladder.ladder.ladder import Ladder
from vcpu_ladder.records.key import workload_of
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.records.store import RecordStore
from vcpu_ladder.replicate.outcome import Compared
from vcpu_ladder.replicate.plan import Today, measured, published_ladders, to_run
from vcpu_ladder.replicate.table import HEAD, compare_all, line
from vcpu_ladder.run.plan import FixedPlan, interleaved, loaded_s
from vcpu_ladder.summary.merge import by_name, merge

replicating = typer.Typer()

# What a run takes in addition to its load: start, proofs, checks, stop.
_BESIDE_LOAD_S = 8.0


@replicating.command("replicate")
@ends_well
def replicate_command(
    full: Annotated[bool, typer.Option("--full", help="The published sizes.", envvar="FULL")] = False,
    ladders: Annotated[str | None, typer.Option(help="Only these ladders, comma-separated.")] = None,
    repeats: Annotated[
        int, typer.Option(help="Fresh runs of each stage.", envvar="REPEATS", min=1, max=1000)
    ] = 1,
    table: Annotated[bool, typer.Option("--table", help="Measure nothing, only print the table.")] = False,
    results: Annotated[Path | None, typer.Option(help="With --table: where the records are.")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", help="As for climb.", envvar="ENVIRONMENT")
    ] = None,
) -> None:
    """Run the published stages of all ladders, scaled down unless --full, and say which results reproduce.

    What is measured already is not measured again, so an interrupted replication can be resumed.
    Example: vcpu-ladder replicate --ladders sleep,tasks
    """
    if results is not None and not table:
        raise UsageError("--results is for reading: it needs --table")
    chosen = _chosen(ladders, full)
    if table:
        compared = _compared(RecordStore(results or paths.RESULTS), chosen)
        _print_table(compared)
        _complain(compared)
        return
    found = environment_of(environment)
    with only_one():
        tell_cleaned()
        store = RecordStore(paths.RESULTS)
        try:
            failed = _measure(chosen, repeats, found, store)
        finally:
            write_summary(store.records, store.complaints, store.folder)
            compared = _compared(store, chosen, _planned(chosen))
            _print_table(compared)
    if failed:
        raise EnvironmentNotReady(failed[0], "\n".join(failed[1:]) or None, "vcpu-ladder doctor")
    _complain(compared)


def _chosen(names: str | None, full: bool) -> list[Ladder]:
    every = published_ladders(paths.LADDERS, "full" if full else "quick")
    if names is None:
        return every
    known = {ladder.name: ladder for ladder in every}
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise UsageError(f"{name!r} is not a ladder with published figures: {', '.join(known)}")
    return [known[name] for name in wanted]


def _measure(
    ladders: Sequence[Ladder], repeats: int, environment: Environment, store: RecordStore
) -> list[str]:
    """Run what the store lacks, and add it.

    Returns one line for each ladder that could not run, with the reason.
    """
    today = Today(workload_of(source_facts(), environment.kind), machine_facts()["host"], environment.kind)
    plans: dict[str, FixedPlan] = {}
    for ladder in ladders:
        left = [(stage, repeats - measured(stage, store.records, today)) for stage in to_run(ladder)]
        pending = [stage for stage, runs in left if runs > 0]
        if pending:
            plans[ladder.name] = interleaved(pending, max(runs for _, runs in left), paths.RESULTS)
    jobs = [job for plan in plans.values() for job in plan.jobs]
    whole_s = loaded_s(jobs) + _BESIDE_LOAD_S * len(jobs)
    what = f"{len(jobs)} runs of {', '.join(plans)}" if plans else "everything is measured already"
    say(f"{what}: about {show_duration(whole_s)}")
    failed = []
    for name, plan in plans.items():
        records: list[RunRecord] = []
        try:
            run_plan(plan, environment, records)
        except EnvironmentNotReady as error:
            failed.append(f"{name}: {error.what}")
            say(f"{name}: not measured: {error.what}")
        finally:
            for record in records:
                store.add(record)
    return failed


def _planned(ladders: Sequence[Ladder]) -> set[tuple[str, str]]:
    """{(ladder, load)} of what is run for these ladders."""
    return {(stage.ladder, stage.load_fingerprint) for ladder in ladders for stage in to_run(ladder)}


def _compared(
    store: RecordStore, ladders: Sequence[Ladder], loads: Collection[tuple[str, str]] | None = None
) -> list[Compared]:
    """The published stages of these ladders, by records of these loads, or of any."""
    records = [
        record
        for record in store.records
        if loads is None or (record.ladder, record.load_fingerprint) in loads
    ]
    names = [ladder.name for ladder in ladders]
    return [one for one in compare_all(by_name(merge(records))) if one.ladder in names]


def _print_table(compared: Sequence[Compared]) -> None:
    colours = {"reproduced": "green", "shape reproduced": "green", "not reproduced": "red"}
    shown = Table(box=box.SIMPLE_HEAD)
    for name in HEAD:
        shown.add_column(name.lower(), overflow="fold")
    for one in compared:
        cells = line(one)
        # Never as markup: the last cell may quote a record.
        shown.add_row(*map(Text, cells), style=colours.get(cells[HEAD.index("Outcome")]))
    out.print(shown)


def _complain(compared: Sequence[Compared]) -> None:
    bad = [
        f"{compared.ladder}/{compared.stage}"
        for compared in compared
        if compared.row is not None and not compared.row.valid
    ]
    if bad:
        raise RunInvalid(
            f"no valid run of {', '.join(bad)}",
            next_command="vcpu-ladder replicate: it measures these again",
        )
