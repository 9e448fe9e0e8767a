"""An audit as text: one registry of formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from vcpu_ladder.audit.claims import Study
from vcpu_ladder.audit.finding import Finding, number
from vcpu_ladder.audit.judge import RULES, Judged
from vcpu_ladder.audit.readings import TIME_A_WORKER

SCHEMA = 2
# A claim's line shows its first finding in this order of kinds.
_DECISIVE = ("cannot be", "doubtful", "explains", "agrees", "reading", "room")
_TOLD_BELOW = ("cannot be", "doubtful", "explains", "reading")


def decisive(judged: Judged) -> Finding | None:
    """The finding that decides the claim's verdict; if several agree, the last one, Little's law."""
    for kind in _DECISIVE:
        found = judged.of(kind)
        if found:
            return found[-1] if kind == "agrees" else found[0]
    return None


def line(judged: Judged) -> list[str]:
    """The claim as tables show it: name, users, RPS, verdict, limit, and the decisive sum."""
    claim, why = judged.claim, decisive(judged)
    told = f"{why.arithmetic}; {why.text}" if why else "no rule has the figures it needs"
    cost = next((finding for finding in judged.findings if finding.rule == TIME_A_WORKER), None)
    return [
        judged.name,
        "–" if claim.users is None else f"{claim.users:,}",
        "–" if claim.rps is None else number(claim.rps),
        judged.judgement,
        judged.limit.rule if judged.limit else "–",
        f"{told}. A worker had {cost.arithmetic} a request" if cost else told,
    ]


def details(judged: Judged) -> list[str]:
    """What else a reader must know about the claim."""
    told = decisive(judged)
    lines = [
        f"{judged.name}: {finding.rule} ({finding.kind}): {finding.arithmetic}: {_sentence(finding.text)}"
        for finding in judged.findings
        if finding is not told and finding.kind in _TOLD_BELOW and finding.rule != TIME_A_WORKER
    ]
    return [*lines, *([f"{judged.name}: {judged.claim.note}"] if judged.claim.note else [])]


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


HEAD = ("Row", "Users", "RPS", "Judgement", "Limit", "Arithmetic")


def markdown_study(title: str, rows: Sequence[Judged]) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in line(judged)) + " |" for judged in rows]
    notes = [f"- {text}" for judged in rows for text in details(judged)]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def as_markdown(studies: Mapping[str, Study], rows: Sequence[Judged]) -> str:
    parts = [
        markdown_study(studies[name].title, list(mine))
        for name, mine in groupby(rows, key=lambda judged: judged.name.split("/")[0])
    ]
    return "\n".join(parts)


def as_json(studies: Mapping[str, Study], rows: Sequence[Judged]) -> str:
    """{schema, rows: [{name, study, figures, verdict, limit, findings}]}."""
    content = [
        {
            "name": judged.name,
            "study": studies[judged.name.split("/")[0]].title,
            "figures": judged.claim.model_dump(exclude_none=True),
            "judgement": judged.judgement,
            "limit": judged.limit.rule if judged.limit else None,
            "findings": [asdict(finding) for finding in judged.findings],
        }
        for judged in rows
    ]
    return json.dumps({"schema": SCHEMA, "rows": content}, indent=1) + "\n"


def rules_table() -> str:
    """Every rule with its arithmetic, as Markdown."""
    lines = ["| Rule | Arithmetic |", "|---|---|"]
    return "\n".join([*lines, *(f"| {rule.name} | {rule.formula} |" for rule in RULES)]) + "\n"


FORMATS: dict[str, Callable[[Mapping[str, Study], Sequence[Judged]], str]] = {
    "markdown": as_markdown,
    "json": as_json,
}
