"""Ctrl-C and SIGTERM end a run, even where the exception of the signal's handler was dropped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factory import stage
from tests.fakes import FakeEnvironment
from vcpu_ladder import interrupts, paths
from vcpu_ladder.run.drive import drive

# The handler's exception is raised inside a destructor, where Python prints it as ignored and goes on.
DROPPED = """
import os, signal, sys, time
from vcpu_ladder import interrupts
interrupts.install()
class Sink:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.01)
sink = Sink()
del sink
print("went on", flush=True)
try:
    interrupts.check()
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_whose_exception_was_dropped_is_not_forgotten(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DROPPED.format(name=name)],
        cwd=paths.HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "went on" in done.stdout
    assert "Exception ignored" in done.stderr
    assert done.returncode == 130, done.stderr


def test_a_load_ends_at_an_interrupt_that_was_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = FakeEnvironment()
    stack = environment.up(stage("v3"), "r1", tmp_path, lambda text: None)
    monkeypatch.setattr(interrupts, "_seen", True)
    with pytest.raises(KeyboardInterrupt):
        drive(stack, stage("v3"), 1, {}, tmp_path, lambda sample, left_s: None, [])
    environment.down()


def test_a_signal_that_the_shell_ignores_stays_ignored() -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    term = signal.getsignal(signal.SIGTERM)
    try:
        interrupts.install()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, term)
