"""What was skipped is reported in one line, with the remedies."""

from __future__ import annotations

import pytest
from _pytest.outcomes import Skipped

from tests import needs
from tests.factory import record
from tests.noise import noise_of, noise_of_command, skip_if_noisy
from vcpu_ladder.records.record import CheckResult, RunRecord


def invalid(*names: str) -> RunRecord:
    checks = [CheckResult(name=name, severity="invalid", ok=False, text=f"{name} 24%") for name in names]
    return record("v2", status="invalid", checks=checks)


def test_reasons_are_counted_with_their_remedies() -> None:
    noisy = f"{needs.NOISE}: v2: others used 24%"
    line = needs.closing_line(
        [needs.ROOT, needs.ROOT, needs.absent("prometheus"), noisy, f"{needs.NOISE}: v4: others", "a whim"]
    )
    assert line == (
        "skipped: 1 a whim, 2 because other programs took the CPU (end other programs), "
        "1 need prometheus on the PATH (apt-get install prometheus), 2 need root (run as root)"
    )
    assert needs.closing_line([]) == ""


def test_only_noise_is_a_skip_and_says_what_it_did() -> None:
    assert noise_of(record("v2"), record("v4")) == ""
    skip_if_noisy("")
    noise = noise_of_command(4, [record("v4"), invalid("CPU taken away", "samples")])
    assert noise == "v2: CPU taken away 24%; v2: samples 24%"
    with pytest.raises(Skipped, match="because other programs took the CPU: v2: CPU taken away 24%"):
        skip_if_noisy(noise)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (4, invalid("errors")),
        (4, invalid("CPU taken away", "errors")),
        (4, record("v2")),
        (0, invalid("CPU taken away")),
        (3, record("v2")),
        (0, record("v2", status="failed")),
        (4, record("v2", status="unproven")),
    ],
)
def test_whatever_else_goes_wrong_is_a_failure(code: int, found: RunRecord) -> None:
    with pytest.raises(AssertionError):
        noise_of_command(code, [found])
