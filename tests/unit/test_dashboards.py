"""The dashboards' files, and that their checker finds what is wrong."""

from __future__ import annotations

import copy
import re
from typing import Any

import httpx
import pytest
import yaml

from grafana import check
from grafana.build import render
from grafana.panels import DASHBOARDS
from grafana.schema import schema_faults
from vcpu_ladder import paths

RULES = paths.HOME / "prometheus" / "rules" / "ladder.yml"
BOARDS = check.load()
LIVE = BOARDS["ladder-live.json"]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_the_committed_file_is_what_the_panels_say(uid: str) -> None:
    path = check.HOME / "dashboards" / f"{uid}.json"
    assert path.read_text(encoding="utf-8") == render(uid), "run python -m grafana.build"


def test_there_is_a_file_for_each_dashboard_and_no_other() -> None:
    assert sorted(BOARDS) == sorted(f"{uid}.json" for uid in DASHBOARDS)


def test_the_files_are_without_fault_and_not_editable() -> None:
    assert check.faults_of_files() == []
    assert [board["editable"] for board in BOARDS.values()] == [False, False]


def test_panels_show_every_rule_and_no_other_series_of_ours() -> None:
    rules = {
        rule["record"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    exprs = [asked.expr for board in BOARDS.values() for asked in check.queries(board)]
    assert {name for expr in exprs for name in re.findall(r"ladder:\w+", expr)} == rules


def broken(path: list[str | int], value: Any) -> dict[str, Any]:
    board = copy.deepcopy(LIVE)
    place: Any = board
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return board


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (["panels", 0, "titel"], "x", ".panels[0].titel: unknown"),
        (["panels", 0, "targets", 0, "expression"], "up", "expression: unknown"),
        (["annotations", "list", 0, "stepp"], "1s", ".annotations.list[0].stepp: unknown"),
        (["panels", 0, "options", "legend", "displayMode"], "sideways", "display_mode: 'sideways' is not"),
        (["panels", 0, "gridPos", "w"], "wide", "w: 'wide' is not"),
        (["refresh"], 5, ".refresh: 5 is not"),
    ],
)
def test_what_grafana_does_not_know_is_named(path: list[str | int], value: str, fault: str) -> None:
    assert any(fault in line for line in schema_faults(broken(path, value)))


@pytest.mark.parametrize(
    "path",
    [
        ["panels", 3, "targets", 0, "datasource"],
        ["panels", 4, "datasource"],
        ["annotations", "list", 1, "datasource"],
        ["templating", "list", 2, "datasource"],
    ],
)
def test_a_datasource_that_is_not_provisioned_is_named(path: list[str | int]) -> None:
    uids = check.provisioned_uids()
    assert check.unresolved(LIVE, uids) == []
    (fault,) = check.unresolved(broken(path, {"uid": "gone"}), uids)
    assert "is not provisioned: prometheus" in fault


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown variable"):
        check.queries(broken(["panels", 0, "targets", 0, "expr"], "up{stage='$stages'}"))


def answering(result: list[dict[str, Any]] | None) -> httpx.Client:
    body = (
        {"status": "error", "error": "parse error"}
        if result is None
        else {"status": "success", "data": {"result": result}}
    )
    return httpx.Client(
        base_url="http://prometheus",
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json=body)),
    )


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ([], False),
        ([{"values": [[1, "NaN"], [2, "+Inf"]]}], False),
        ([{"values": [[1, "NaN"], [2, "0"]]}], True),
        ([{"value": [1, "3.5"]}], True),
    ],
)
def test_data_is_a_finite_value(result: list[dict[str, Any]], found: bool) -> None:
    assert check.has_data(answering(result), check.Asked("here", "up", "range"), 60) is found


def test_a_query_that_prometheus_refuses_is_named() -> None:
    with pytest.raises(ValueError, match="here: parse error"):
        check.has_data(answering(None), check.Asked("here", "up(", "range"), 60)


def test_the_provisioned_folder_is_the_one_compose_mounts() -> None:
    provider = yaml.safe_load((check.HOME / "provisioning" / "dashboards" / "ladder.yml").read_text())
    assert [one["options"]["path"] for one in provider["providers"]] == ["/var/lib/grafana/dashboards"]


def test_a_wrong_file_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "load", lambda folder=None: {"one.json": broken(["uidd"], "x")})
    assert check.main([]) == 1
    assert "error: one.json: .uidd: unknown to Grafana's model" in capsys.readouterr().err
