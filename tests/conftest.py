"""Sets variables before anything imports prometheus_client, which chooses its value class at import."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

from tests.needs import closing_line

_PROMETHEUS = tempfile.TemporaryDirectory(prefix="vcpu-ladder-test-", ignore_cleanup_errors=True)
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", _PROMETHEUS.name)

# A shell that starts the suite in the background makes it, and every process it starts, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_CPUS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


@pytest.fixture(autouse=True)
def every_cpu_again() -> Iterator[None]:
    """A run moves this process off the service's CPU; the next test needs that CPU back."""
    yield
    if _CPUS is not None:
        os.sched_setaffinity(0, _CPUS)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """One closing line, after everything else: what was skipped, and how to have it tested."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    line = closing_line(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if line:
        terminalreporter.write_line(line, yellow=True)


def pytest_unconfigure() -> None:
    _PROMETHEUS.cleanup()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden from the current output"
    )
