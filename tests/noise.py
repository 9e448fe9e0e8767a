"""A busy machine makes a run invalid, and rightly so, but that is not what the tests are about.

A test first asserts everything that also holds for a noisy run (proofs, counts, exit codes). If the rest
needs a valid run, it then calls ``skip_if_noisy``, which skips it with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests import needs
from vcpu_ladder.records.record import RunRecord

_CHECKS = {"CPU taken away", "other CPUs", "generator", "upstream", "samples"}

AnyRecord = RunRecord | Mapping[str, Any]


def failed_checks(record: AnyRecord) -> dict[str, str]:
    """{check: its text} for those that make the run invalid."""
    found = record.model_dump() if isinstance(record, RunRecord) else record
    return {
        check["name"]: check["text"]
        for check in found["checks"]
        if not check["ok"] and check["severity"] == "invalid"
    }


def noise_of(*records: AnyRecord) -> str:
    """What noise did to these runs, or an empty string. Fails if anything else makes one invalid."""
    told = []
    for record in records:
        found = record.model_dump() if isinstance(record, RunRecord) else record
        failed = failed_checks(record)
        assert failed.keys() <= _CHECKS, found["reason"]
        assert found["status"] == ("invalid" if failed else "ok"), (found["stage"], found["reason"])
        told += [f"{found['stage']}: {text}" for text in failed.values()]
    return "; ".join(told)


def noise_of_command(code: int, records: Iterable[AnyRecord], output: str = "") -> str:
    """The same for a command's runs: it exits with 0, or with 4 if noise made one of them invalid."""
    records = list(records)
    assert code in (0, 4), output
    noise = noise_of(*records)
    assert (code == 4) == bool(noise), output
    return noise


def skip_if_noisy(noise: str) -> None:
    if noise:
        pytest.skip(f"{needs.NOISE}: {noise}")
