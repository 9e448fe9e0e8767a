"""Drive the load: start k6, report progress, read what it counted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.contract.endpoints import SHOP
from vcpu_ladder import interrupts
from vcpu_ladder.environments.base import Load, Stack
from vcpu_ladder.errors import RunInvalid
from vcpu_ladder.ladder.load import DRAIN_S
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.records.record import Figures, Latency
from vcpu_ladder.run.expect_study import called_path
from vcpu_ladder.run.sample import Sample, Sampler

SUMMARY_SCHEMA = 2
# k6's exit code when one of our validity thresholds was crossed; its summary is complete then too.
_THRESHOLD_CROSSED = 99
# For start-up and summary only; the load and its drain are added to it.
_SLACK_S = 30.0

OnSample = Callable[[Sample, float], None]  # a new sample, and the seconds of load that are left


def load_variables(stage: ResolvedStage, body: str) -> dict[str, str]:
    """The script's own ``LADDER_*`` variables. ``body`` is the right answer of a study's endpoint."""
    if stage.knobs["endpoint"] != SHOP:
        return {"LADDER_PATH": called_path(stage), "LADDER_BODY": body}
    rows = stage.scale.rows
    return {"LADDER_ROWS_USERS": str(rows["users"]), "LADDER_ROWS_PRODUCTS": str(rows["products"])}


def drive(
    stack: Stack,
    stage: ResolvedStage,
    seed: int,
    variables: Mapping[str, str],
    folder: Path,
    on_sample: OnSample,
    samples_out: list[Sample],
) -> Figures:
    """Warm up and measure in one k6 run. ``variables`` are the script's own, in addition to the load's.
    ``samples_out`` fills during the run, so that a crash keeps them; ``on_sample`` is called once for each.

    Raises RunInvalid when k6 or a process of the stack ends early.
    """
    load = replace(stage.load, seed=seed)
    summary = folder / "k6.json"
    generator = stack.start_load(stage, {**load.variables(), **variables}, summary)
    started = time.monotonic()
    whole_s = load.warmup_s + load.measure_s
    allowed_s = whole_s + DRAIN_S + _SLACK_S

    def phase() -> str:
        elapsed = time.monotonic() - started
        if elapsed < load.warmup_s:
            return "warm-up"
        return "measure" if elapsed < whole_s else "drain"

    sampler = Sampler(stack, generator.stats_url, phase)
    sampler.samples = samples_out
    sampler.start()
    told = 0
    try:
        while generator.exit_code() is None:
            interrupts.check()
            elapsed = time.monotonic() - started
            if elapsed > allowed_s:
                raise RunInvalid(f"k6 did not end within {allowed_s:g} s")
            ended = stack.died()
            if ended is not None:
                raise RunInvalid(f"during {phase()}: {ended}")
            for sample in samples_out[told:]:
                on_sample(sample, max(0.0, whole_s - elapsed))
                told += 1
            time.sleep(0.25)
    finally:
        sampler.stop()
        generator.stop()
    _require_success(generator, phase())
    return read_summary(summary)


def _require_success(generator: Load, phase: str) -> None:
    """Raises RunInvalid if k6 ended in any other way than by finishing its load."""
    code = generator.exit_code()
    if code not in (0, _THRESHOLD_CROSSED):
        how = (
            f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        )
        raise RunInvalid(f"during {phase}: k6 {how}", generator.tail())


def read_summary(path: Path) -> Figures:
    """k6's JSON as figures. Raises RunInvalid when it is missing or has another shape."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw["schema"] != SUMMARY_SCHEMA:
            raise RunInvalid(f"{path}: schema {raw['schema']}, this runner reads {SUMMARY_SCHEMA}")
        tried = raw["completed"] + raw["failed"]
        return Figures(
            rps=raw["completed"] / raw["measure_s"],
            measure_s=raw["measure_s"],
            completed=raw["completed"],
            failed=raw["failed"],
            wrong_bodies=raw["wrong_bodies"],
            dropped=raw["dropped"],
            error_ratio=raw["failed"] / tried if tried else 1.0,
            failures=raw["failures"],
            latency=_latency(raw["latency_all"]),
            latency_by_endpoint={name: _latency(one) for name, one in raw["latency"].items()},
            started=raw["requests_started"],
            finished=raw["requests_total"],
            unanswered=raw["requests_unanswered"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunInvalid(f"{path}: no k6 summary in it: {error}") from None


def _latency(raw: dict[str, Any] | None) -> Latency | None:
    return None if raw is None else Latency.model_validate(raw)
