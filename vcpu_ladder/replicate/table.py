"""The published rungs beside ours: from ladder files, the audit, and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vcpu_ladder import paths
from vcpu_ladder.audit.figures import load_figures
from vcpu_ladder.audit.judge import Judged, judge
from vcpu_ladder.audit.report import decisive
from vcpu_ladder.ladder.ladder import Ladder, Stage
from vcpu_ladder.replicate.plan import anchor, published_ladders, published_stages
from vcpu_ladder.replicate.verdict import Compared, served_rps, verdict
from vcpu_ladder.summary.formats.markdown import escape
from vcpu_ladder.summary.formats.words import digits, show_ratio, spread
from vcpu_ladder.summary.merge import Row
from vcpu_ladder.summary.verdict import ratio

HEAD = ("Study", "Rung", "Published RPS", "Ours RPS", "To", "Published ratio", "Our ratio", "Verdict", "Why")


def compare_all(rows: Mapping[str, Row], folder: Path = paths.LADDERS) -> list[Compared]:
    """Every published rung of every ladder. ``rows`` by ``ladder/stage``, one key a ladder."""
    audited = {judged.name: judged for judged in judge(load_figures(paths.PUBLISHED))}
    return [
        _compare(ladder, stage, rows, audited)
        for ladder in published_ladders(folder)
        for stage in published_stages(ladder)
    ]


def _compare(
    ladder: Ladder, stage: Stage, rows: Mapping[str, Row], audited: Mapping[str, Judged]
) -> Compared:
    assert stage.published is not None  # that is how it was chosen
    above = anchor(ladder, stage)
    row = rows.get(f"{ladder.name}/{stage.id}")
    above_row = rows.get(f"{ladder.name}/{above.id}") if above else None
    judged = audited.get(f"{ladder.name}/{stage.id}")
    why = decisive(judged) if judged is not None and judged.verdict == "cannot be" else None
    return Compared(
        ladder=ladder.name,
        stage=stage.id,
        change=str(stage.change) if stage.change else None,
        published=stage.published,
        row=row,
        to=above.id if above else None,
        to_row=above_row,
        published_ratio=_published_ratio(stage, above),
        ratio=ratio(row.blocks, above_row.blocks)
        if row and above_row and row.comparable_with(above_row)
        else None,
        impossible=f"{why.arithmetic}: {why.text}" if why else None,
    )


def _published_ratio(stage: Stage, above: Stage | None) -> float | None:
    if stage.published is None or above is None or above.published is None:
        return None
    return served_rps(stage.published) / served_rps(above.published)


def line(rung: Compared) -> list[str]:
    """The rung by the columns of ``HEAD``."""
    name, why = verdict(rung)
    failed = rung.published.others.get("failed_ratio")
    return [
        rung.ladder,
        rung.stage,
        digits(rung.published.rps) + (f" ({failed:.0%} failed)" if failed else ""),
        spread(rung.row) if rung.row else "–",
        rung.to or "–",
        "–" if rung.published_ratio is None else f"× {rung.published_ratio:.3g}",
        "–" if rung.ratio is None else show_ratio(rung.ratio),
        name,
        why,
    ]


def sentence(rungs: Sequence[Compared], name: str) -> str:
    """``reproduced: × 6.09 of independent published, × 6.2 here``. Raises KeyError for no published rung."""
    rung = {f"{one.ladder}/{one.stage}": one for one in rungs}[name]
    found, why = verdict(rung)
    if rung.ratio is None or rung.published_ratio is None:
        return f"{found}: {why}"
    return f"{found}: × {rung.published_ratio:.3g} of {rung.to} published, {show_ratio(rung.ratio)} here"


def markdown(rungs: Sequence[Compared]) -> str:
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return "\n".join([*lines, *("| " + " | ".join(map(escape, line(rung))) + " |" for rung in rungs)]) + "\n"
