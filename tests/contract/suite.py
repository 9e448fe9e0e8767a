"""What every environment must do for the runner. One test class per environment inherits it."""

from __future__ import annotations

import json
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.factory import stage
from tests.waiting import wait_for
from vcpu_ladder.environments.base import Environment, Stack, Usage
from vcpu_ladder.environments.host import port_is_free
from vcpu_ladder.environments.loopback import get_json
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.run.prove import discover_workers, prove, unproven_reason, upstream_in_force

STAGE = stage("v3", users=5, warmup_s=0.5, measure_s=2.0)
VARIABLES = {**STAGE.load.variables(), "LADDER_ROWS_USERS": "100", "LADDER_ROWS_PRODUCTS": "100"}
# The fields of a usage that only grow. An environment that does not report one gives None every time.
GROWING = (
    *("service_cpu_s", "upstream_cpu_s", "generator_cpu_s", "database_cpu_s"),
    *("throttled_s", "stolen_cpu_s", "others_busy_s"),
)


def assert_grown(before: Usage, after: Usage) -> None:
    for name in GROWING:
        one, two = getattr(before, name), getattr(after, name)
        assert (one is None) == (two is None), name
        assert one is None or two >= one, f"{name} fell from {one} to {two}"


def end_of(stack: Stack, name: str) -> str | None:
    said = stack.died()
    return said if said is not None and said.startswith(name) else None


class EnvironmentContract:
    """A subclass has a fixture ``environment``, and methods that break it.

    ``serves`` says whether something really answers at the stack's addresses.
    """

    serves = True

    def end(self, stack: Any, name: str) -> None:
        """Kill the stack's ``service`` or ``upstream`` without telling it."""
        raise NotImplementedError

    def break_service(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the next ``up`` start a service that ends before it answers."""
        raise NotImplementedError

    def check_service(self, stack: Any) -> None:
        """What a really running service must show."""
        workers = discover_workers(stack.service_url, 2)
        upstream = upstream_in_force(stack.upstream_url)
        assert unproven_reason(prove(STAGE, workers, upstream, True, stack.activity())) is None
        assert set(stack.usage().service_pids) >= {worker["pid"] for worker in workers}
        assert stack.usage().service_rss_bytes > 10_000_000

    def up(self, environment: Environment, folder: Path) -> Any:
        environment.prepare([STAGE], lambda progress: None)
        environment.check_ready()
        return environment.up(STAGE, "run-1", folder / "logs", lambda text: None)

    def test_it_says_what_it_is_before_anything_runs(self, environment: Environment) -> None:
        described = environment.describe()
        assert described["kind"] == environment.kind
        assert isinstance(described["pinned"], bool)
        assert json.loads(json.dumps(described)) == described

    def test_down_twice_and_without_up_is_safe(self, environment: Environment) -> None:
        environment.down()
        environment.down()

    def test_a_run_from_up_to_down(self, environment: Environment, tmp_path: Path) -> None:
        stack = self.up(environment, tmp_path)
        assert json.loads(json.dumps(dict(stack.facts))) == stack.facts
        assert stack.facts["data"]["database"]
        assert ({**environment.describe(), **stack.facts})["budget"]
        assert len(stack.facts["service_cpus"]) == stack.service_cpus == 1
        assert len(stack.facts["other_cpus"]) == stack.generator_cpus >= 1
        if self.serves:
            self.check_service(stack)
        assert stack.died() is None

        summary = tmp_path / "k6.json"
        seen = [stack.usage()]
        load = stack.start_load(STAGE, VARIABLES, summary)
        counted: list[Any] = []
        ends = time.monotonic() + 60
        while load.exit_code() is None:
            assert time.monotonic() < ends, load.tail()
            seen.append(stack.usage())
            try:
                counted.append(get_json(f"{load.stats_url}/v1/metrics/ladder_requests", 0.9))
            except httpx.HTTPError:  # before its server listens, and after it has stopped
                time.sleep(0.1)
        seen.append(stack.usage())
        assert load.exit_code() in (0, 99), load.tail()
        assert counted or not self.serves, "the load's own counters never answered"
        assert json.loads(summary.read_text())["completed"] > 0
        for before, after in pairwise(seen):
            assert_grown(before, after)
        assert seen[-1].service_cpu_s > seen[0].service_cpu_s
        assert seen[-1].upstream_cpu_s > seen[0].upstream_cpu_s
        assert seen[-1].service_threads > 0

        environment.down()
        for url in (stack.service_url, stack.upstream_url, load.stats_url):
            port = urlsplit(url).port
            assert port is not None
            assert port_is_free(port), f"{url} is still taken after down"

    def test_what_ends_by_itself_is_named_and_keeps_what_it_consumed(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        stack = self.up(environment, tmp_path)
        before = stack.usage()
        for name in ("upstream", "service"):
            self.end(stack, name)
            said = wait_for(partial(end_of, stack, name), f"the end of the {name}", 10)
            assert "\n" not in said
        assert_grown(before, stack.usage())

    def test_a_load_that_is_stopped_has_ended_and_did_not_succeed(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        stack = self.up(environment, tmp_path)
        load = stack.start_load(STAGE, {**VARIABLES, "LADDER_MEASURE_S": "60"}, tmp_path / "k6.json")
        time.sleep(1)
        assert load.exit_code() is None
        load.stop()
        assert load.exit_code() not in (None, 0)

    def test_an_up_that_fails_is_taken_down_and_the_next_one_succeeds(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        with pytest.MonkeyPatch.context() as broken:
            self.break_service(broken)
            with pytest.raises(EnvironmentNotReady, match=r"service .* before its first answer"):
                self.up(environment, tmp_path)
            environment.down()
        stack = self.up(environment, tmp_path)
        assert stack.died() is None
