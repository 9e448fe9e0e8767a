"""The load command: written once, and complete for k6's scripts, whatever the environment's addresses."""

from __future__ import annotations

import re

from tests.factory import stage
from vcpu_ladder import paths
from vcpu_ladder.environments.generator import Addresses, load_command
from vcpu_ladder.environments.live import LiveView

AT = Addresses("http://api:8000", "/k6", "stdout", "0.0.0.0:6565")


def test_an_environment_adds_its_addresses_and_nothing_else() -> None:
    command = load_command(stage("v2"), "run-1", {"LADDER_USERS": "5"}, None, AT)
    assert command.arguments[0] == "run"
    assert command.arguments[-3:] == ["--address", "0.0.0.0:6565", "/k6/shop.js"]
    assert command.variables == {
        "LADDER_USERS": "5",
        "LADDER_SUMMARY": "stdout",
        "LADDER_BASE_URL": "http://api:8000",
    }


def test_a_live_view_is_told_of_the_run() -> None:
    live = LiveView("http://prometheus:9090")
    command = load_command(stage("v2"), "run-1", {}, live, AT)
    assert command.arguments[-1] == "/k6/shop.js"
    assert "run=run-1" in command.arguments
    assert command.variables.items() >= live.variables().items()


def test_every_variable_that_a_script_reads_is_given() -> None:
    script = (paths.K6_SCRIPTS / "lib" / "config.js").read_text()
    read = set(re.findall(r"'(LADDER_[A-Z_]+)'", script))
    resolved = stage("v2")
    rows_and_target = {"LADDER_ROWS_USERS", "LADDER_ROWS_PRODUCTS", "LADDER_PATH", "LADDER_BODY"}
    closed = load_command(resolved, "run-1", resolved.load.variables(), None, AT).variables
    of_the_open_model = {"LADDER_RATE", "LADDER_MAX_USERS"}
    assert read - set(closed) - rows_and_target <= of_the_open_model
