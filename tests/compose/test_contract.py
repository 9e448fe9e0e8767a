"""The contract of the environments, in containers; and what is only theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.conftest import PROJECT
from tests.contract.suite import EnvironmentContract
from tests.waiting import wait_for
from vcpu_ladder.environments.compose import environment as compose
from vcpu_ladder.environments.compose.container import containers
from vcpu_ladder.environments.compose.engine import Engine
from vcpu_ladder.environments.compose.environment import ComposeEnvironment
from vcpu_ladder.environments.compose.stack import ComposeStack
from vcpu_ladder.environments.compose.usage import EngineMeter, KernelMeter
from vcpu_ladder.environments.host import free_port

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]


def layers(engine: Engine, image: str) -> list[str]:
    found: list[str] = engine.get(f"/images/{image}/json")["RootFS"]["Layers"]
    return found


class TestCompose(EnvironmentContract):
    @pytest.fixture
    def environment(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[ComposeEnvironment]:
        for name in ("SERVICE_PORT", "UPSTREAM_PORT", "K6_API_PORT", "POSTGRES_PORT"):
            monkeypatch.setenv(name, str(free_port()))
        monkeypatch.setenv("COMPOSE_PROJECT_NAME", PROJECT)
        environment = ComposeEnvironment(engine, data=tmp_path / "data")
        yield environment
        environment.down()
        assert containers(engine, PROJECT) == []

    def end(self, stack: ComposeStack, name: str) -> None:
        {"service": stack.api, "upstream": stack.mock}[name].kill()

    def break_service(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compose, "service_command", lambda *_: ["python", "-c", "raise SystemExit(3)"])

    def test_every_image_is_named_by_its_id_and_those_of_ours_by_what_they_are_built_on(
        self, environment: ComposeEnvironment, engine: Engine
    ) -> None:
        environment.check_ready()
        images = environment.describe()["images"]
        assert set(images) == {"api", "mock", "k6"}
        for service, image in images.items():
            assert image["id"].startswith("sha256:")
            assert image["digest"] is None or image["digest"].startswith("sha256:")
            assert ("base" in image) == (service in ("api", "mock"))
        base = images["api"]["base"]
        assert base["name"].startswith("python:")
        below, above = (layers(engine, image["name"]) for image in (base, images["api"]))
        assert above[: len(below)] == below, "the base is not what the service is built on"
        assert len(above) > len(below)

    def test_the_engine_s_own_counters_serve_where_the_kernel_s_cannot_be_read(
        self, environment: ComposeEnvironment, tmp_path: Path
    ) -> None:
        stack = self.up(environment, tmp_path)
        ours, engines = KernelMeter(int(stack.api.inspect()["State"]["Pid"])), EngineMeter(stack.api)
        wait_for(lambda: engines.read().cpu_s > 0, "the engine's counters", 10)
        kernel, engine = ours.read(), engines.read()
        assert kernel.cpu_s == pytest.approx(engine.cpu_s, rel=0.2)
        assert kernel.threads == pytest.approx(engine.threads, abs=2)
        assert engine.rss_bytes > 10_000_000
