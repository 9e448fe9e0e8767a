"""Set before anything imports prometheus_client: its value class is chosen at import."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

from tests.needs import closing_line

_PROMETHEUS = tempfile.TemporaryDirectory(prefix="vcpu-ladder-test-", ignore_cleanup_errors=True)
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", _PROMETHEUS.name)

# A shell that starts the suite in the background has it ignore Ctrl-C, and so every process that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_CPUS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


@pytest.fixture(autouse=True)
def every_cpu_again() -> Iterator[None]:
    """A run leaves the service's CPU to it: the next test needs it back."""
    yield
    if _CPUS is not None:
        os.sched_setaffinity(0, _CPUS)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """One closing line, after all else, on what was not tested, and what would have it tested."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    line = closing_line(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if line:
        terminalreporter.write_line(line, yellow=True)


def pytest_unconfigure() -> None:
    _PROMETHEUS.cleanup()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden from what is printed now"
    )
