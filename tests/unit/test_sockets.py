"""Open-file and port limits are checked before a load of many users, and the error has a remedy."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.factory import stage
from vcpu_ladder import paths
from vcpu_ladder.environments.sockets import open_files_needed, require_open_files, require_ports
from vcpu_ladder.errors import EnvironmentNotReady

SLEEP = paths.LADDERS / "sleep.toml"


def test_a_user_of_the_shop_may_hold_an_upstream_connection_too() -> None:
    assert open_files_needed(stage("v2", users=1000)) - open_files_needed(stage("v2", users=500)) == 1000
    studies = [open_files_needed(stage("async-w1", SLEEP, users=users)) for users in (500, 1000)]
    assert studies[1] - studies[0] == 500


@pytest.mark.parametrize(
    ("limits", "raised_to"),
    [((1024, 4096), (3000, 4096)), ((4096, 4096), None), ((1024, -1), (3000, -1)), ((-1, -1), None)],
)
def test_the_soft_limit_is_raised_as_far_as_the_hard_one_allows(
    limits: tuple[int, int], raised_to: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: seen.append(wanted))
    require_open_files(3000)
    assert seen == ([raised_to] if raised_to else [])


def test_a_hard_limit_that_is_too_low_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(
        EnvironmentNotReady, match="10256 open files per process, and the limit here is 4096"
    ) as e:
        require_open_files(10_256)
    assert "USERS=1024" in (e.value.next_command or "")
    assert "ulimit -n 10256" in (e.value.next_command or "")


def test_too_few_ports_are_named_with_the_way_out(tmp_path: Path) -> None:
    port_range = tmp_path / "range"
    port_range.write_text("32768\t60999\n")
    require_ports(28_232, port_range)
    with pytest.raises(
        EnvironmentNotReady, match="28233 local ports, and ip_local_port_range has 28232"
    ) as e:
        require_ports(28_233, port_range)
    assert "sysctl" in (e.value.next_command or "")
