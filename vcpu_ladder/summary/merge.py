"""Merge records into rows: one row a stage, environment, host, load and workload source.

Only records that share all of these are pooled or compared. The result does not depend on the order
of the records.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vcpu_ladder.record import RunRecord
from vcpu_ladder.summary.stats import Ratio, enough_for, ratio

Setting = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Row:
    """One line of the table. ``rps`` is the median over ``n`` valid runs, with its lowest and highest;
    percentiles are medians over runs of the per-run percentile, None where the runs are too short for it.
    Ratio, interval and verdict are against the parent's runs of the same setting.
    """

    ladder: str
    stage: str
    title: str
    parent: str | None
    change: str | None
    environment: str
    host: str
    load: str
    workload: str
    n: int
    invalid_runs: int
    rps: float | None
    rps_low: float | None
    rps_high: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    latency_samples: int
    error_ratio: float | None
    cpu_ratio: float | None
    ratio: Ratio | None
    ratio_to_root: Ratio | None
    limit: str | None
    limit_evidence: str | None
    ceiling_rps: float | None
    published_rps: float | None
    published_source: str | None
    valid: bool
    notes: tuple[str, ...]
    latest: str

    @property
    def verdict(self) -> str:
        if not self.valid:
            return "invalid"
        return (
            self.ratio.verdict
            if self.ratio
            else ("baseline" if self.parent is None else "no parent measured")
        )


def setting_of(record: RunRecord) -> Setting:
    """What must agree for two records to be compared."""
    return (
        record.ladder,
        str(record.environment.get("kind")),
        str(record.machine.get("host")),
        record.load_fingerprint,
        str(record.source.get("workload")),
    )


def merge(records: Iterable[RunRecord]) -> list[Row]:
    """Rows by setting, newest setting first, then by the order of the ladder file."""
    settings: dict[Setting, dict[tuple[str, str], list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in sorted(records, key=lambda record: (record.started_at, record.run_id)):
        settings[setting_of(record)][record.stage, record.fingerprint].append(record)
    rows = []
    newest_first = sorted(
        settings.items(),
        key=lambda item: max(r.started_at for group in item[1].values() for r in group),
        reverse=True,
    )
    for setting, stages in newest_first:
        # A stage edited in its ladder file has a new fingerprint: its newest form is the stage now.
        current = {
            stage: group
            for (stage, _), group in sorted(stages.items(), key=lambda item: item[1][-1].started_at)
        }
        rows += [
            _row(setting, current[stage], current)
            for stage in sorted(current, key=lambda stage: (current[stage][-1].position, stage))
        ]
    return rows


def newest(rows: Sequence[Row], ladder: str | None = None) -> list[Row]:
    """The rows of each ladder's newest setting."""
    first: dict[str, Setting] = {}
    kept = []
    for row in rows:
        setting = (row.ladder, row.environment, row.host, row.load, row.workload)
        if (ladder is None or row.ladder == ladder) and first.setdefault(row.ladder, setting) == setting:
            kept.append(row)
    return kept


def _row(setting: Setting, runs: Sequence[RunRecord], stages: Mapping[str, Sequence[RunRecord]]) -> Row:
    last = runs[-1]
    valid = [run for run in runs if run.valid and run.figures is not None]
    figures = [run.figures for run in valid if run.figures is not None]
    rates = [one.rps for one in figures]
    parent = stages.get(last.parent or "", [])
    root = _root(last, stages)
    limits = Counter(run.limit.name for run in valid if run.limit)
    named = limits.most_common(1)[0][0] if limits else None
    limit = next((run.limit for run in reversed(valid) if run.limit and run.limit.name == named), None)
    return Row(
        ladder=last.ladder,
        stage=last.stage,
        title=last.title,
        parent=last.parent,
        change=last.change,
        environment=setting[1],
        host=setting[2],
        load=setting[3],
        workload=setting[4],
        n=len(valid),
        invalid_runs=len(runs) - len(valid),
        rps=_median(rates),
        rps_low=min(rates, default=None),
        rps_high=max(rates, default=None),
        p50_ms=_percentile(valid, 50),
        p95_ms=_percentile(valid, 95),
        p99_ms=_percentile(valid, 99),
        latency_samples=sum(one.latency.n for one in figures if one.latency),
        error_ratio=_median([one.error_ratio for one in figures]),
        cpu_ratio=_median(
            [cpu for run in valid if (cpu := run.samples.get("service_cpu_ratio")) is not None]
        ),
        ratio=ratio(blocks(valid), blocks(parent)),
        ratio_to_root=ratio(blocks(valid), blocks(root)) if root and last.parent else None,
        limit=named,
        limit_evidence=limit.evidence if limit else None,
        ceiling_rps=_median([run.limit.ceiling_rps for run in valid if run.limit and run.limit.ceiling_rps]),
        published_rps=last.published_rps,
        published_source=last.published_source,
        valid=bool(valid),
        notes=_notes(runs),
        latest=last.started_at,
    )


def _root(record: RunRecord, stages: Mapping[str, Sequence[RunRecord]]) -> Sequence[RunRecord]:
    at = record
    while at.parent is not None:
        if at.parent not in stages:
            return []
        at = stages[at.parent][-1]
    return stages[at.stage]


def blocks(runs: Sequence[RunRecord]) -> dict[object, float]:
    """{(climb, repeat): RPS} of the valid runs: what ``stats.ratio`` pairs by."""
    return {(run.climb_id, run.repeat): run.figures.rps for run in runs if run.valid and run.figures}


def _percentile(runs: Sequence[RunRecord], percentile: int) -> float | None:
    values = [
        float(getattr(run.figures.latency, f"p{percentile}_ms"))
        for run in runs
        if run.figures and run.figures.latency and enough_for(percentile, run.figures.latency.n)
    ]
    # Of all runs or none: the longer runs alone would be a biased choice.
    return _median(values) if len(values) == len(runs) else None


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _notes(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    lines: Counter[str] = Counter()
    for run in runs:
        if not run.valid:
            lines[f"{run.status}: {(run.reason or '').splitlines()[0] if run.reason else ''}"] += 1
        for check in run.warnings:
            lines[f"{check.name}: {check.text} ({check.remedy})"] += 1
    return tuple(line if count == 1 else f"{line} [{count} runs]" for line, count in sorted(lines.items()))
