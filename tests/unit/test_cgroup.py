"""The cgroup reader on file trees: version 1 as recorded (Linux 6.18), version 2 as documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.api.metrics import CgroupCollector
from services.contract.cgroup import Cgroup, read_cgroup

# A quota of half a CPU and 256 MiB; a process that spun for two seconds.
V1 = {
    "cpu/cpu.cfs_quota_us": "50000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpu/cpu.stat": "nr_periods 22\nnr_throttled 20\nthrottled_time 911905858\nnr_bursts 0\nburst_time 0\n",
    "cpuacct/cpuacct.usage": "1061637864\n",
    "memory/memory.limit_in_bytes": "268435456\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
}
V1_FREE = V1 | {"cpu/cpu.cfs_quota_us": "-1\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}
V1_READ = Cgroup(1, 0.05, 0.1, 22, 20, 0.911905858, 1.061637864, 256 << 20, 2)
V2 = {
    "cpu.max": "100000 100000\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n"
    "nr_periods 30\nnr_throttled 7\nthrottled_usec 250000\nnr_bursts 0\nburst_usec 0\n",
    "memory.max": "536870912\n",
    "memory.events": "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n",
}
V2_READ = Cgroup(2, 0.1, 0.1, 30, 7, 0.25, 1.5, 512 << 20, 1)


def v1(root: Path, files: dict[str, str], below: str = "", named: str = "/docker/1234") -> Path:
    """A tree under ``root``; ``below`` is where in each controller's mount the files are."""
    lines = [f"{n}:{names}:{named}" for n, names in ((9, "name=systemd"), (4, "memory"), (2, "cpuacct,cpu"))]
    return write(
        root,
        [*lines, "0::/"],
        {str(Path(name).parent / below / Path(name).name): text for name, text in files.items()},
    )


def v2(root: Path, files: dict[str, str], below: str = "", named: str = "/") -> Path:
    text = {str(Path(below) / name): content for name, content in files.items()}
    return write(root, [f"0::{named}"], {"cgroup.controllers": "cpu memory\n", **text})


def write(root: Path, lines: list[str], files: dict[str, str]) -> Path:
    for name, text in {
        "proc/self/cgroup": "\n".join(lines) + "\n",
        **{f"sys/fs/cgroup/{n}": t for n, t in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_version_1_in_a_container_whose_mount_is_the_cgroup(tmp_path: Path) -> None:
    assert read_cgroup(v1(tmp_path, V1)) == V1_READ


def test_version_1_below_the_mount_is_preferred_to_the_mount(tmp_path: Path) -> None:
    v1(tmp_path, V1_FREE)
    assert read_cgroup(v1(tmp_path, V1, "ours", "/ours")) == V1_READ


def test_version_2_in_a_container(tmp_path: Path) -> None:
    assert read_cgroup(v2(tmp_path, V2)) == V2_READ


def test_version_2_below_the_mount(tmp_path: Path) -> None:
    assert read_cgroup(v2(tmp_path, V2, "system.slice/ours", "/system.slice/ours")) == V2_READ


def test_a_memory_limit_alone_counts_and_the_quota_is_none(tmp_path: Path) -> None:
    found = read_cgroup(v2(tmp_path, V2 | {"cpu.max": "max 100000\n"}))
    assert found is not None
    assert (found.quota_s, found.period_s, found.memory_limit_bytes) == (None, None, 512 << 20)


def test_without_a_limit_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert read_cgroup(v1(tmp_path / "1", V1_FREE)) is None
    free = V2 | {"cpu.max": "max 100000\n", "memory.max": "max\n"}
    assert read_cgroup(v2(tmp_path / "2", free)) is None
    # The root cgroup of version 2 has no such files at all.
    assert read_cgroup(v2(tmp_path / "3", {"cpu.stat": "usage_usec 5\n"})) is None


def test_a_platform_without_cgroups_is_none(tmp_path: Path) -> None:
    assert read_cgroup(tmp_path) is None


@pytest.mark.parametrize("cgroup", [V1_READ, V2_READ])
def test_each_figure_is_shown_once_in_base_units(cgroup: Cgroup) -> None:
    text = shown(cgroup)
    assert f"ladder_api_cgroup_quota_seconds {cgroup.quota_s}" in text
    assert f"ladder_api_cgroup_throttled_seconds_total {cgroup.throttled_s}" in text
    assert f"ladder_api_cgroup_oom_kills_total {cgroup.oom_kills}.0" in text
    assert len([line for line in text.splitlines() if not line.startswith("#")]) == 8


def test_nothing_is_shown_without_a_cgroup() -> None:
    assert shown(None) == ""


def shown(cgroup: Cgroup | None) -> str:
    registry = CollectorRegistry()
    registry.register(CgroupCollector(cgroup))
    return generate_latest(registry).decode()
