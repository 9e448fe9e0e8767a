"""Reasons for skipping a test, each with its remedy; the closing line of the test run counts them."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable

import pytest

ROOT = "need root"
SMALL_DISK = "need to mount a small disk"
NOISE = "because other programs took the CPU"
OLD_RECORDS = "show committed figures of an earlier source"

REMEDIES = {
    ROOT: "run as root",
    SMALL_DISK: "run outside a container",
    NOISE: "end other programs",
    OLD_RECORDS: "measure them anew",
}
# Programs that some tests need, and each one's Debian package.
PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-postgres-exporter": "prometheus-postgres-exporter",
    "taskset": "util-linux",
    "setpriv": "util-linux",
}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason=ROOT)


def absent(program: str) -> str:
    return f"need {program} on the PATH"


def with_program(program: str) -> pytest.MarkDecorator:
    """Mark a test that needs this program, one of ``PACKAGES``."""
    assert program in PACKAGES
    return pytest.mark.skipif(shutil.which(program) is None, reason=absent(program))


def closing_line(reasons: Iterable[str]) -> str:
    """ "skipped: 3 need root (run as root), ..."; empty where nothing was skipped."""
    remedies = REMEDIES | {
        absent(program): f"apt-get install {package}" for program, package in PACKAGES.items()
    }
    counted: Counter[str] = Counter()
    for reason in reasons:
        # What follows the colon differs by test: which checks failed, with their figures.
        known = reason.partition(":")[0]
        counted[known if known in remedies else reason] += 1
    parts = [
        f"{count} {reason}" + (f" ({remedies[reason]})" if reason in remedies else "")
        for reason, count in sorted(counted.items())
    ]
    return f"skipped: {', '.join(parts)}" if parts else ""
