"""All rules over all rows, and what they come to for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vcpu_ladder.audit.ceilings import CEILINGS
from vcpu_ladder.audit.consistency import CONSISTENCY
from vcpu_ladder.audit.figures import Row, Study
from vcpu_ladder.audit.finding import Finding, Rule
from vcpu_ladder.audit.readings import READINGS

RULES: tuple[Rule, ...] = (*CONSISTENCY, *CEILINGS, *READINGS)


@dataclass(frozen=True)
class Judged:
    """A row by name (``study/row``) with its findings.

    ``verdict``: cannot be, doubtful, explained, open (only readings), agrees, or too few figures. ``limit``
    is the first ceiling that explains the row.
    """

    name: str
    row: Row
    findings: tuple[Finding, ...]

    def of(self, verdict: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict == verdict]

    @property
    def limit(self) -> Finding | None:
        return next(iter(self.of("explains")), None)

    @property
    def verdict(self) -> str:
        for verdict in ("cannot be", "doubtful"):
            if self.of(verdict):
                return verdict
        if self.limit:
            return "explained"
        if self.of("agrees"):
            return "agrees"
        return "open" if self.of("reading") else "too few figures"


def judge_row(name: str, row: Row) -> Judged:
    return Judged(name, row, tuple(finding for rule in RULES for finding in rule.apply(row)))


def judge(studies: Mapping[str, Study]) -> list[Judged]:
    """Every row of every study, in the file's order."""
    return [
        judge_row(f"{study_name}/{row_name}", row)
        for study_name, study in studies.items()
        for row_name, row in study.rows.items()
    ]
