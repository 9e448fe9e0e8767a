"""What every measuring command does around its plan: the lock, the environment, the data, the listeners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vcpu_ladder import paths
from vcpu_ladder.commands.console import say
from vcpu_ladder.commands.guard import clean_up, only_one
from vcpu_ladder.commands.options import environment_of
from vcpu_ladder.commands.progress import Progress
from vcpu_ladder.commands.summary import write_summary
from vcpu_ladder.environments.base import Environment
from vcpu_ladder.errors import EnvironmentNotReady, RunInvalid
from vcpu_ladder.records.events import EventLog, events_path, everybody
from vcpu_ladder.records.key import ComparisonKey
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.records.store import load_records
from vcpu_ladder.run.climb import climb
from vcpu_ladder.run.plan import Plan


@dataclass(frozen=True)
class Measured:
    """A climb's own records, and all records of its folder: read once, after the climb."""

    records: Sequence[RunRecord]
    everything: Sequence[RunRecord]

    @property
    def comparable(self) -> list[RunRecord]:
        """All records so far that may be compared with the climb's own."""
        wanted = {ComparisonKey.of(record) for record in self.records}
        return [record for record in self.everything if ComparisonKey.of(record) in wanted]

    def complain(self) -> None:
        """Raises RunInvalid for runs that may not be ranked, EnvironmentNotReady where none could start."""
        bad = [record for record in self.records if not record.valid]
        if not bad:
            return
        first = bad[0]
        reason = (first.reason or "").splitlines() or [""]
        # Nothing could be started at all: the environment is at fault, not a run.
        kind = EnvironmentNotReady if all(record.status == "failed" for record in bad) else RunInvalid
        raise kind(
            f"{len(bad)} of {len(self.records)} runs may not be ranked; first: {first.ladder}/{first.stage} "
            f"{first.status}: {reason[0]}",
            "\n".join(reason[1:]) or None,
            next_command=f"read {paths.RESULTS / first.ladder / first.stage / first.run_id}",
        )


def measure(plan: Plan, environment: str | None) -> Measured:
    """Run the plan in the named environment, or in the first available one.

    The summary is written however the climb ends. Raises EnvironmentNotReady: another run is in progress,
    no environment is available, or there is no room for the data.
    """
    records: list[RunRecord] = []
    with only_one():
        tell_cleaned()
        chosen = environment_of(environment)
        try:
            run_plan(plan, chosen, records)
        finally:
            everything = _sum_up()
    return Measured(records, everything)


def run_plan(plan: Plan, environment: Environment, records: list[RunRecord]) -> None:
    """Prepare and climb, under the lock that the caller holds. ``records`` fills as runs end."""
    with EventLog(events_path(paths.RESULTS, plan.climb_id)) as log, Progress() as progress:
        tell = everybody(progress, log)
        environment.prepare(plan.stages, tell)
        climb(plan, environment, tell, records)
    if log.lost:
        say(f"note: events were lost: {log.lost}")


def _sum_up() -> list[RunRecord]:
    everything, complaints = load_records(paths.RESULTS)
    write_summary(everything, complaints, paths.RESULTS)
    return everything


def tell_cleaned() -> None:
    """End what a killed runner left behind, and say so. Only under the lock."""
    for line in clean_up(paths.RESULTS):
        say(f"note: {line}")
