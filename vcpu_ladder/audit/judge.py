"""All rules applied to all claims, and the judgement of each claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vcpu_ladder.audit.ceilings import CEILINGS
from vcpu_ladder.audit.claims import Claim, Study
from vcpu_ladder.audit.consistency import CONSISTENCY
from vcpu_ladder.audit.finding import Finding, Rule
from vcpu_ladder.audit.readings import READINGS

RULES: tuple[Rule, ...] = (*CONSISTENCY, *CEILINGS, *READINGS)


@dataclass(frozen=True)
class Judged:
    """A claim by name (``study/claim``) with its findings.

    ``judgement``: cannot be, doubtful, explained, open (only readings), agrees, or too few figures. ``limit``
    is the first ceiling that explains the claim.
    """

    name: str
    claim: Claim
    findings: tuple[Finding, ...]

    def of(self, kind: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind == kind]

    @property
    def limit(self) -> Finding | None:
        return next(iter(self.of("explains")), None)

    @property
    def judgement(self) -> str:
        for kind in ("cannot be", "doubtful"):
            if self.of(kind):
                return kind
        if self.limit:
            return "explained"
        if self.of("agrees"):
            return "agrees"
        return "open" if self.of("reading") else "too few figures"


def judge_claim(name: str, claim: Claim) -> Judged:
    return Judged(name, claim, tuple(finding for rule in RULES for finding in rule.apply(claim)))


def judge(studies: Mapping[str, Study]) -> list[Judged]:
    """Every claim of every study, in the file's order."""
    return [
        judge_claim(f"{study_name}/{claim_name}", claim)
        for study_name, study in studies.items()
        for claim_name, claim in study.rows.items()
    ]
