"""Published stages compared with ours: from ladder files, the audit, and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vcpu_ladder import paths
from vcpu_ladder.audit.claims import load_claims
from vcpu_ladder.audit.judge import Judged, judge
from vcpu_ladder.audit.report import decisive
from vcpu_ladder.ladder.ladder import Ladder, Stage
from vcpu_ladder.replicate.outcome import Compared, outcome, served_rps
from vcpu_ladder.replicate.plan import anchor, published_ladders, published_stages
from vcpu_ladder.summary.formats.markdown import escape
from vcpu_ladder.summary.formats.words import digits, show_ratio, spread
from vcpu_ladder.summary.merge import Row
from vcpu_ladder.summary.verdict import ratio

HEAD = ("Study", "Stage", "Published RPS", "Ours RPS", "To", "Published ratio", "Our ratio", "Outcome", "Why")


def compare_all(rows: Mapping[str, Row], folder: Path = paths.LADDERS) -> list[Compared]:
    """Every published stage of every ladder. ``rows`` are by ``ladder/stage``, with one key per ladder."""
    audited = {judged.name: judged for judged in judge(load_claims(paths.PUBLISHED))}
    return [
        _compare(ladder, stage, rows, audited)
        for ladder in published_ladders(folder)
        for stage in published_stages(ladder)
    ]


def _compare(
    ladder: Ladder, stage: Stage, rows: Mapping[str, Row], audited: Mapping[str, Judged]
) -> Compared:
    assert stage.published is not None  # only published stages are chosen
    above = anchor(ladder, stage)
    row = rows.get(f"{ladder.name}/{stage.id}")
    above_row = rows.get(f"{ladder.name}/{above.id}") if above else None
    judged = audited.get(f"{ladder.name}/{stage.id}")
    why = decisive(judged) if judged is not None and judged.judgement == "cannot be" else None
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


def line(compared: Compared) -> list[str]:
    """The cells of one stage, by the columns of ``HEAD``."""
    name, why = outcome(compared)
    failed = compared.published.others.get("failed_ratio")
    return [
        compared.ladder,
        compared.stage,
        digits(compared.published.rps) + (f" ({failed:.0%} failed)" if failed else ""),
        spread(compared.row) if compared.row else "–",
        compared.to or "–",
        "–" if compared.published_ratio is None else f"× {compared.published_ratio:.3g}",
        "–" if compared.ratio is None else show_ratio(compared.ratio),
        name,
        why,
    ]


def sentence(every: Sequence[Compared], name: str) -> str:
    """``reproduced: × 6.09 of independent published, × 6.2 here``. Raises KeyError for no published stage."""
    compared = {f"{one.ladder}/{one.stage}": one for one in every}[name]
    found, why = outcome(compared)
    if compared.ratio is None or compared.published_ratio is None:
        return f"{found}: {why}"
    theirs = f"× {compared.published_ratio:.3g} of {compared.to} published"
    return f"{found}: {theirs}, {show_ratio(compared.ratio)} here"


def markdown(compared: Sequence[Compared]) -> str:
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    rows = ["| " + " | ".join(map(escape, line(one))) + " |" for one in compared]
    return "\n".join([*lines, *rows]) + "\n"
