"""The contract suite for the environments that need no Docker engine: the unit tests' fake, and native."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.suite import EnvironmentContract
from tests.fakes import FakeEnvironment, FakeStack
from vcpu_ladder.environments.host import free_port
from vcpu_ladder.environments.native import environment as native
from vcpu_ladder.environments.native.environment import NativeEnvironment, NativeStack
from vcpu_ladder.environments.native.processes import strays
from vcpu_ladder.errors import EnvironmentNotReady


class TestFake(EnvironmentContract):
    """The fake must behave like a real environment, or the unit tests of a run would prove nothing."""

    serves = False

    @pytest.fixture
    def environment(self) -> Iterator[FakeEnvironment]:
        environment = FakeEnvironment()
        yield environment
        environment.down()

    def end(self, stack: FakeStack, name: str) -> None:
        stack.ended = f"{name} ended by itself with status 1"

    def break_service(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> Any:
            raise EnvironmentNotReady("service ended with status 3 before its first answer")

        monkeypatch.setattr(FakeEnvironment, "up", fail)


@pytest.mark.e2e
class TestNative(EnvironmentContract):
    @pytest.fixture
    def environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NativeEnvironment]:
        for name in ("SERVICE_PORT", "UPSTREAM_PORT", "K6_API_PORT", "POSTGRES_PORT"):
            monkeypatch.setenv(name, str(free_port()))
        for name in ("DATABASE_URL", "PROMETHEUS_URL"):
            monkeypatch.delenv(name, raising=False)
        environment = NativeEnvironment(data=tmp_path / "data")
        yield environment
        environment.down()
        assert not strays()
        assert not psutil.Process().children(recursive=True)

    def end(self, stack: NativeStack, name: str) -> None:
        for pid in {"service": stack.service, "upstream": stack.upstream}[name].consumption().pids:
            psutil.Process(pid).kill()

    def break_service(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ends = [sys.executable, "-c", "raise SystemExit(3)"]
        monkeypatch.setattr(native, "service_command", lambda *_: ends)
