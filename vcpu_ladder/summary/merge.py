"""Merge records into rows: one row per stage, offered rate and comparison key.

Only records that share all of these are pooled; rows are compared only at the same rate and key. The
result does not depend on the order of the records.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vcpu_ladder.records.key import ComparisonKey, stands_for
from vcpu_ladder.records.limits import wave
from vcpu_ladder.records.record import Figures, LimitResult, RunRecord
from vcpu_ladder.summary.verdict import Ratio, Served, enough_for, geometric_mean, ratio

# The runs of one key by (stage, what its knobs stand for, offered rate), oldest first.
_Groups = dict[tuple[str, str, float | None], list[RunRecord]]


@dataclass(frozen=True)
class Row:
    """One line of the table. ``rps`` is the geometric mean over ``n`` valid runs, which is what the ratio is
    made of, with the lowest and highest of them; ``all_responses_rps`` counts failed requests too,
    ``failures`` is {kind: how many} over those runs; percentiles are medians over runs of the per-run
    percentile, None where the runs are too short for it.

    Ratio, interval and verdict are against the parent's runs of the same key; ``pairs`` of them share a
    block. ``blocks`` is {(climb, repeat): what was served} of the valid runs; ``curves`` {curve: its knob}.
    ``rate_rps`` is the rate offered by an open load, None in the closed model.
    """

    key: ComparisonKey
    stage: str
    title: str
    parent: str | None
    change: str | None
    rate_rps: float | None
    n: int
    pairs: int
    invalid_runs: int
    rps: float | None
    rps_low: float | None
    rps_high: float | None
    all_responses_rps: float | None
    failures: Mapping[str, int]
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    latency_samples: int
    error_ratio: float | None
    cpu_ratio: float | None
    threads_alive: float | None
    threads_created: float | None
    ratio: Ratio | None
    ratio_to_root: Ratio | None
    limit: str | None
    limit_evidence: str | None
    ceiling_rps: float | None
    published_rps: float | None
    published_source: str | None
    published_others: Mapping[str, float]
    valid: bool
    notes: tuple[str, ...]
    latest: str
    blocks: Mapping[tuple[str, int], Served]
    knobs: Mapping[str, str | int]
    curves: Mapping[str, str]

    @property
    def ladder(self) -> str:
        return self.key.ladder

    @property
    def label(self) -> str:
        """``v2``, and ``v2 at 300/s`` in the open model."""
        return self.stage if self.rate_rps is None else f"{self.stage} at {self.rate_rps:g}/s"

    def comparable_with(self, other: Row) -> bool:
        """Whether a ratio of the two is meaningful: same key, same offered rate."""
        return (self.key, self.rate_rps) == (other.key, other.rate_rps)

    @property
    def verdict(self) -> str:
        if not self.valid:
            return "invalid"
        return (
            self.ratio.verdict
            if self.ratio
            else ("baseline" if self.parent is None else "no parent measured")
        )


def merge(records: Iterable[RunRecord]) -> list[Row]:
    """Rows by key, newest key first, then by the order of the ladder file."""
    keys: dict[ComparisonKey, _Groups] = defaultdict(lambda: defaultdict(list))
    for record in sorted(records, key=lambda record: (record.started_at, record.run_id)):
        keys[ComparisonKey.of(record)][record.stage, stands_for(record), record.rate_rps].append(record)
    rows = []
    newest_first = sorted(
        keys.items(),
        key=lambda item: max(group[-1].started_at for group in item[1].values()),
        reverse=True,
    )
    for key, groups in newest_first:
        # A stage edited in its ladder file gets a new fingerprint: its newest version is the stage now.
        by_age = sorted(groups.values(), key=lambda group: group[-1].started_at)
        current = {(group[-1].stage, group[-1].rate_rps): group for group in by_age}
        rows += [_row(key, group, groups) for group in sorted(current.values(), key=_place)]
    return rows


def newest(rows: Sequence[Row]) -> list[Row]:
    """The rows of each ladder's newest key."""
    first: dict[str, ComparisonKey] = {}
    return [row for row in rows if first.setdefault(row.ladder, row.key) == row.key]


def by_name(rows: Sequence[Row]) -> dict[str, Row]:
    """The newest rows by ``ladder/stage``: one key a ladder, and of several rates the one measured last."""
    found: dict[str, Row] = {}
    for row in newest(rows):
        name = f"{row.ladder}/{row.stage}"
        if name not in found or found[name].latest < row.latest:
            found[name] = row
    return found


def _place(runs: Sequence[RunRecord]) -> tuple[int, str, float]:
    return runs[-1].position, runs[-1].stage, runs[-1].rate_rps or 0.0


def _row(key: ComparisonKey, runs: Sequence[RunRecord], groups: _Groups) -> Row:
    last = runs[-1]
    valid = [run for run in runs if run.valid and run.figures is not None]
    figures = [run.figures for run in valid if run.figures is not None]
    rates = [one.rps for one in figures]
    own, parent = blocks(valid), blocks(_parent(last, groups))
    root = _root(last, groups)
    limit, ceiling_rps = _limit(valid)
    return Row(
        key=key,
        stage=last.stage,
        title=last.title,
        parent=last.parent,
        change=last.change,
        rate_rps=last.rate_rps,
        n=len(valid),
        pairs=len(own.keys() & parent.keys()),
        invalid_runs=len(runs) - len(valid),
        rps=_mean(rates),
        rps_low=min(rates, default=None),
        rps_high=max(rates, default=None),
        all_responses_rps=_mean([(one.completed + one.failed) / one.measure_s for one in figures]),
        failures=_failures(figures),
        p50_ms=_percentile(valid, 50),
        p95_ms=_percentile(valid, 95),
        p99_ms=_percentile(valid, 99),
        latency_samples=sum(one.latency.n for one in figures if one.latency),
        error_ratio=_median([one.error_ratio for one in figures]),
        cpu_ratio=_sampled(valid, "service_cpu_ratio"),
        threads_alive=_sampled(valid, "threads_alive"),
        threads_created=_sampled(valid, "threads_created"),
        ratio=ratio(own, parent),
        ratio_to_root=ratio(own, blocks(root)) if last.parent else None,
        limit=limit.name if limit else None,
        limit_evidence=limit.evidence if limit else None,
        ceiling_rps=ceiling_rps,
        published_rps=last.published_rps,
        published_source=last.published_source,
        published_others=last.published_others,
        valid=bool(valid),
        notes=_notes(runs),
        latest=last.started_at,
        blocks=own,
        knobs=last.knobs,
        curves=last.curves,
    )


def _failures(figures: Sequence[Figures]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in figures:
        total.update(one.failures)
    return {kind: count for kind, count in total.items() if count}


def _parent(record: RunRecord, groups: _Groups) -> Sequence[RunRecord]:
    """Runs of the parent as it was when the stage was derived from it, at the same offered rate: only the
    changed knob differs.

    A ladder file may have been edited in between; a ratio over two changes must not be shown as one.
    """
    if record.parent is None or record.change is None:
        return []
    changed = record.change.partition(" = ")[0]
    fitting = [
        group
        for (stage, _, rate_rps), group in groups.items()
        if (stage, rate_rps) == (record.parent, record.rate_rps)
        and _differing(record, group[-1]) == {changed}
    ]
    return max(fitting, key=lambda group: group[-1].started_at, default=[])


def _differing(record: RunRecord, other: RunRecord) -> set[str]:
    knobs = {name for name in record.knobs if record.knobs[name] != other.knobs.get(name)}
    return knobs | ({"upstream"} if record.upstream_profile != other.upstream_profile else set())


def _root(record: RunRecord, groups: _Groups) -> Sequence[RunRecord]:
    runs: Sequence[RunRecord] = [record]
    seen: set[str] = set()
    while runs and runs[-1].parent is not None:
        if runs[-1].stage in seen:
            return []  # no ladder file has a cycle, but a record may have been edited
        seen.add(runs[-1].stage)
        runs = _parent(runs[-1], groups)
    return runs


def _limit(runs: Sequence[RunRecord]) -> tuple[LimitResult | None, float | None]:
    """The limit that most runs hit, with the last such run's evidence, and the median of its ceilings."""
    found = [run.limit for run in runs if run.limit is not None]
    if not found:
        return None, None
    named = Counter(limit.name for limit in found).most_common(1)[0][0]
    same = [limit for limit in found if limit.name == named]
    return same[-1], _median([limit.ceiling_rps for limit in same if limit.ceiling_rps is not None])


def blocks(runs: Sequence[RunRecord]) -> dict[tuple[str, int], Served]:
    """{(climb, repeat): what was served} of the valid runs: what ``verdict.ratio`` pairs by."""
    return {
        (run.climb_id, run.repeat): Served(run.figures.rps, wave(run) / max(1, run.figures.completed))
        for run in runs
        if run.valid and run.figures
    }


def _percentile(runs: Sequence[RunRecord], percentile: int) -> float | None:
    values = [
        float(getattr(run.figures.latency, f"p{percentile}_ms"))
        for run in runs
        if run.figures and run.figures.latency and enough_for(percentile, run.figures.latency.n)
    ]
    # From all runs or none: using only the longer runs would be a biased choice.
    return _median(values) if len(values) == len(runs) else None


def _sampled(runs: Sequence[RunRecord], column: str) -> float | None:
    """Median over runs of each run's median over its samples."""
    return _median([value for run in runs if (value := run.samples.get(column)) is not None])


def _mean(values: Sequence[float]) -> float | None:
    return geometric_mean(list(values)) if values else None


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _notes(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """Why runs do not count, then the warnings."""
    reasons: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    for run in runs:
        if not run.valid:
            reasons[f"{run.status}: {(run.reason or '').splitlines()[0] if run.reason else ''}"] += 1
        for check in run.warnings:
            warnings[f"{check.name}: {check.text} ({check.remedy})"] += 1
    lines = [*sorted(reasons.items()), *sorted(warnings.items())]
    return tuple(line if count == 1 else f"{line} [{count} runs]" for line, count in lines)
