"""Set before anything imports prometheus_client: its value class is chosen at import."""

from __future__ import annotations

import os
import tempfile

import pytest

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="vcpu-ladder-test-"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden from what is printed now"
    )
