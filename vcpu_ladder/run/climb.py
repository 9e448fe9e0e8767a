"""A climb: the runs that its plan asks for, one after the other, until the plan has nothing left."""

from __future__ import annotations

from vcpu_ladder.environments.base import Environment
from vcpu_ladder.errors import Interrupted
from vcpu_ladder.records.events import Listener, Planned, PlannedRun
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.run.plan import Plan, loaded_s
from vcpu_ladder.run.stage import run_stage


def climb(
    plan: Plan, environment: Environment, listener: Listener, records: list[RunRecord] | None = None
) -> list[RunRecord]:
    """Run what the plan asks for. An invalid run is recorded and the climb goes on; the caller sees it.

    ``records`` fills as runs end, so that the caller of an interrupted climb still has them. Raises
    Interrupted when the user ended a run, and EnvironmentNotReady when one could not begin.
    """
    records = [] if records is None else records
    told: list[PlannedRun] | None = None
    while left := plan.left(records):
        runs = [PlannedRun(stage=job.stage.name, repeat=job.repeat) for job in left]
        if told is None or runs != told[1:]:  # the first announcement, or the plan has changed
            listener(Planned(climb_id=plan.climb_id, runs=tuple(runs), load_s=loaded_s(left)))
        told = runs
        records.append(run_stage(left[0], environment, listener))
        if records[-1].status == "interrupted":
            raise Interrupted(
                f"{left[0].stage.name}: {records[-1].reason}; recorded", next_command="vcpu-ladder summary"
            )
    return records
