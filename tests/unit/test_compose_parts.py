"""The Compose environment's parts that need no engine."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.api import effective
from services.contract.cgroup import Cgroup
from tests.factory import stage
from vcpu_ladder import paths
from vcpu_ladder.commands.doctor import PINNED_K6
from vcpu_ladder.environments.compose import container
from vcpu_ladder.environments.compose.container import End
from vcpu_ladder.environments.compose.project import PASSWORD, password, project_name, read_version
from vcpu_ladder.environments.compose.stack import overriding
from vcpu_ladder.environments.host import Cpus
from vcpu_ladder.environments.native.environment import NativeEnvironment
from vcpu_ladder.environments.service import service_command, upstream_command
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres.cluster import MAJOR
from vcpu_ladder.run.budget import spent


@pytest.mark.parametrize(
    ("code", "oom", "expected"),
    [
        (0, False, End(0, "ended with status 0")),
        (99, False, End(99, "ended with status 99")),
        (137, False, End(-9, "was killed by signal 9")),
        (137, True, End(-9, "was killed by the kernel at its memory limit")),
    ],
)
def test_a_container_s_end_in_words(code: int, oom: bool, expected: End) -> None:
    assert End.of({"ExitCode": code, "OOMKilled": oom}) == expected


def test_the_engine_s_frames_are_taken_off_its_log() -> None:
    frames = b"".join(
        bytes([2, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for text in (b"one\n", b"two\n")
    )
    assert container._without_headers(frames) == b"one\ntwo\n"
    assert container._without_headers(b"") == b""


@pytest.mark.parametrize("size", [0, 1, 512, 700_001])
def test_a_file_travels_as_a_tar_of_one_member_owned_by_the_service(tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    with tarfile.open(fileobj=io.BytesIO(b"".join(container._tar(source, "shop.sqlite", 10001)))) as archive:
        (member,) = archive.getmembers()
        content = archive.extractfile(member)
        assert content is not None
        assert content.read() == source.read_bytes()
    assert (member.name, member.uid, member.gid, member.mode) == ("shop.sqlite", 10001, 10001, 0o600)


def test_the_password_is_made_once_beside_what_the_user_wrote_and_nobody_else_may_read_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / ".env"
    path.write_text("SERVICE_PORT=8123\n")
    path.chmod(0o644)
    first = password(path)
    assert len(first) >= 24
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == f"SERVICE_PORT=8123\n{PASSWORD}={first}\n"
    assert password(path) == first


def test_an_empty_password_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"{PASSWORD}=\n")
    assert password(path)


def test_the_project_s_name_is_compose_s_own_variable_or_ours() -> None:
    assert project_name({}) == "vcpu-ladder"
    assert project_name({"COMPOSE_PROJECT_NAME": "other"}) == "other"


def test_a_dollar_in_a_setting_is_no_variable_of_compose() -> None:
    assert json.loads(overriding({"api": {"command": ["a$b"]}})) == {
        "services": {"api": {"command": ["a$$b"]}}
    }


@pytest.mark.parametrize(
    ("said", "version"),
    [("Python 3.13.5", "3.13.5"), ("k6 v1.1.0 (commit/x, go1.24)", "1.1.0"), ("nothing", None)],
)
def test_a_program_s_version_is_read_from_what_it_says(said: str, version: str | None) -> None:
    assert read_version(said) == version


def test_the_cpus_of_another_machine_are_split_as_this_one_s() -> None:
    assert Cpus.split(1, (0, 1, 2, 3)) == Cpus((3,), (0, 1, 2), pinned=True)
    with pytest.raises(EnvironmentNotReady):
        Cpus.split(2, (0, 1))


def test_both_environments_start_the_service_with_the_same_words() -> None:
    native = service_command(stage("v4"), "/venv/python", "127.0.0.1", 8000)
    compose = service_command(stage("v4"), "python", "0.0.0.0", 8000)
    changed = {"/venv/python": "python", "127.0.0.1:8000": "0.0.0.0:8000"}
    assert [changed.get(word, word) for word in native] == compose
    assert "gunicorn" in compose
    assert upstream_command(stage("v6"), "python", "0.0.0.0", 9000)[-6:-2] == [
        "--p50-ms",
        "4000",
        "--p99-ms",
        "22000",
    ]


def test_native_runs_refuse_a_quota_they_do_not_have(tmp_path: Path) -> None:
    resolved = stage("v2")
    quota = type(resolved)(**{**vars(resolved), "knobs": {**resolved.knobs, "pinning": "quota"}})
    with pytest.raises(EnvironmentNotReady, match="needs a container's quota"):
        NativeEnvironment(data=tmp_path).up(quota, "run", tmp_path, lambda text: None)


def _cgroup(quota_s: float | None) -> Cgroup:
    return Cgroup(2, quota_s, None if quota_s is None else 0.1, 1, 0, 0.0, 1.0, None, 0)


@pytest.mark.parametrize(
    ("allowed", "quota_s", "expected"),
    [
        (1, None, {"cpus": 1, "pinning": "cpuset"}),  # native
        (1, 0.1, {"cpus": 1, "pinning": "cpuset"}),  # compose, both
        (4, 0.1, {"cpus": 1, "pinning": "quota"}),
        (4, 0.05, {"cpus": 0.5, "pinning": "quota"}),
        (1, 0.05, {"cpus": 0.5, "pinning": "quota"}),  # a CPU of its own, but only half of it
        (4, None, {"cpus": 4, "pinning": "none"}),
    ],
)
def test_the_budget_in_force_is_the_smaller_of_quota_and_cpus(
    monkeypatch: pytest.MonkeyPatch, allowed: int, quota_s: float | None, expected: dict[str, Any]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert effective._budget(_cgroup(quota_s) if quota_s else None) == expected


def _worker(**cgroup: Any) -> dict[str, Any]:
    counters = {"periods": 10, "throttled_periods": 1, "throttled_s": 0.5, "cpu_s": 1.0, "oom_kills": 0}
    limits = {"version": 1, "quota_s": 0.1, "period_s": 0.1, "memory_limit_bytes": 100}
    return {"facts": {"cgroup": {**limits, **counters, **cgroup}}}


def test_what_the_load_spent_of_the_budget_is_the_counters_growth() -> None:
    found = spent([_worker()], [_worker(periods=310, throttled_periods=21, throttled_s=2.5, cpu_s=31.0)])
    assert found == {
        "version": 1, "quota_s": 0.1, "period_s": 0.1, "memory_limit_bytes": 100,
        "periods": 300, "throttled_periods": 20, "throttled_s": 2.0, "cpu_s": 30.0, "oom_kills": 0,
    }  # fmt: skip


def test_a_counter_that_the_kernel_does_not_tell_is_left_out() -> None:
    assert "oom_kills" not in spent([_worker(oom_kills=None)], [_worker(oom_kills=None)])


def test_without_a_cgroup_of_its_own_there_is_no_budget_to_tell_of() -> None:
    assert spent([{"facts": {"cgroup": None}}], [_worker()]) == {}
    assert spent([_worker()], []) == {}


def test_versions_stand_once_and_agree_with_what_native_runs_use() -> None:
    text = (paths.HOME / "compose.yaml").read_text()
    images = yaml.safe_load(text)["x-images"]
    assert images["k6"] == f"grafana/k6:{PINNED_K6}"
    assert images["postgres"].startswith(f"postgres:{MAJOR}.")
    for name, image in images.items():
        assert image.rpartition(":")[2][0] in "v0123456789", f"{name} has no exact tag"
        assert text.count(image) == 1, f"{image} is written twice"
    services = yaml.safe_load(text)["services"]
    named = {service["image"] for service in services.values() if "image" in service}
    assert named == set(images.values()) - {images["python"]}
