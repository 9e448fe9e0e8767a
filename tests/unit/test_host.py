"""Dividing this machine: CPUs, ports, and what is missing."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from vcpu_ladder.environments import host
from vcpu_ladder.environments.host import Cpus, Ports
from vcpu_ladder.environments.live_data import LiveData
from vcpu_ladder.environments.native.environment import NativeEnvironment, NativeStack
from vcpu_ladder.environments.native.processes import Leashed, Leashes
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.durations import parse_duration, show_duration


def test_the_service_gets_the_last_cpu_and_the_others_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "ALLOWED_CPUS", (2, 3, 7))
    monkeypatch.setattr(host, "_siblings", lambda cpu: {cpu})
    assert Cpus.split(1) == Cpus(service=(7,), others=(2, 3), pinned=True)
    assert Cpus.split(2) == Cpus(service=(3, 7), others=(2,), pinned=True)


def test_a_hardware_thread_beside_the_services_is_left_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "ALLOWED_CPUS", (0, 1, 2, 3))
    monkeypatch.setattr(host, "_siblings", lambda cpu: {cpu, cpu - 2})
    assert Cpus.split(1) == Cpus(service=(3,), others=(0, 2), pinned=True)
    monkeypatch.setattr(host, "ALLOWED_CPUS", (1, 3))
    assert Cpus.split(1) == Cpus(service=(3,), others=(1,), pinned=True)


def test_one_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "ALLOWED_CPUS", (0,))
    with pytest.raises(EnvironmentNotReady, match=r"may use 1 CPU\(s\), and a run needs 2"):
        Cpus.split(1)


def test_a_platform_without_affinity_says_unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "ALLOWED_CPUS", None)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    described = NativeEnvironment().describe()
    assert (described["pinned"], described["budget"]) == (False, "unpinned")


def test_a_native_stack_tells_the_cpus_of_its_own_stage_not_of_every_stage(tmp_path: Path) -> None:
    cpus = Cpus(service=(2, 3), others=(0, 1), pinned=True)
    leashes = Leashes("run-1", tmp_path, ExitStack())
    process = Leashed("service", subprocess.Popen(["true"]), tmp_path / "service.err")
    process.stop()
    stack = NativeStack(Ports(), None, leashes, cpus, process, process, LiveData({}, {"database": "sqlite"}))
    assert stack.facts == {"service_cpus": [2, 3], "other_cpus": [0, 1], "data": {"database": "sqlite"}}


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80.5"])
def test_a_port_out_of_range_is_named(text: str) -> None:
    with pytest.raises(EnvironmentNotReady, match="UPSTREAM_PORT"):
        Ports.from_env({"UPSTREAM_PORT": text})


def test_ports_come_from_the_environment() -> None:
    assert Ports.from_env({"SERVICE_PORT": "81", "K6_API_PORT": ""}) == Ports(service=81)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("2", 2), ("1.5m", 90), (7, 7), ("1h", 3600)],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "abc", "30x", "s", "-3s", "3s4", "1 m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59, "59s"), (61, "1m01s"), (3720, "1h02m")])
def test_durations_are_shown_as_people_write_them(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text
