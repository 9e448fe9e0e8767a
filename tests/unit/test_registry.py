"""Which environment a command uses, and that adding one takes one entry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import FakeEnvironment
from vcpu_ladder import paths
from vcpu_ladder.environments import registry
from vcpu_ladder.environments.compose.engine import Engine
from vcpu_ladder.environments.registry import Entry, Found, choose, find
from vcpu_ladder.errors import EnvironmentNotReady, UsageError

FAKE_FOR_NO_ENGINE = "fake, of a test, for the docker command is not installed"
# All the code that a new environment needs, run before the commands are imported.
ONE_ENTRY = """
from tests.fakes import FakeEnvironment
from vcpu_ladder.environments.registry import ENVIRONMENTS, Entry, Found

ENVIRONMENTS.insert(0, Entry("fake", lambda: Found("fake", "fake, of a test", FakeEnvironment)))
"""
COMMANDS = """
from typer.testing import CliRunner
from vcpu_ladder.commands import app, doctor, postgres

def say(program, *words):
    print(CliRunner().invoke(program, words).output)

say(app.app, "climb", "--help")
say(app.app, "run", "--help")
say(postgres.app, "seed", "--help")
print("----")
say(app.app, "serve", "main/v2", "--environment", "podman")
print("----")
say(postgres.app, "seed", "--environment", "fake")
print("----")
print(doctor._environment().text)
"""
# psutil is imported first: its Linux version needs `resource`, its Windows version does not.
WINDOWS_HAS_NOT = ("fcntl", "resource", "pwd", "grp", "uvloop")


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=paths.HOME,
        capture_output=True,
        text=True,
        check=False,
        env={"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PATH": ""},
    )


class TestWithoutAnEngine:
    @pytest.fixture(autouse=True)
    def _no_engine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing() -> Engine:
            raise EnvironmentNotReady("the docker command is not installed")

        monkeypatch.setattr(Engine, "find", missing)

    def test_it_is_native_and_says_why(self) -> None:
        environment, line = choose(None)
        assert environment.kind == "native"
        assert line == "environment: native, for the docker command is not installed"

    def test_native_is_never_asked_for_an_engine(self) -> None:
        environment, line = choose("native")
        assert (environment.kind, line) == ("native", "environment: native")

    def test_compose_asked_for_in_vain_is_an_error(self) -> None:
        with pytest.raises(EnvironmentNotReady, match="not installed"):
            choose("compose")

    def test_another_name_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(UsageError, match="'podman' is not one of: compose, native"):
            choose("podman")


def test_where_nothing_is_there_each_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Found:
        raise EnvironmentNotReady("the moon is not up")

    monkeypatch.setattr(registry, "ENVIRONMENTS", [Entry("moon", missing), Entry("tide", missing)])
    with pytest.raises(
        EnvironmentNotReady, match="no environment is available: the moon is not up; the moon"
    ):
        find(None)


@pytest.mark.parametrize(
    ("place", "chosen"), [(0, "fake, of a test"), (1, FAKE_FOR_NO_ENGINE), (2, "native")]
)
def test_a_third_environment_is_one_entry_chosen_by_name_and_by_its_place(
    place: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_engine() -> Found:
        raise EnvironmentNotReady("the docker command is not installed")

    known = [Entry("compose", no_engine), registry.ENVIRONMENTS[1]]
    known.insert(place, Entry("fake", lambda: Found("fake", "fake, of a test", FakeEnvironment)))
    monkeypatch.setattr(registry, "ENVIRONMENTS", known)
    assert isinstance(choose("fake")[0], FakeEnvironment)
    assert choose(None)[1].startswith(f"environment: {chosen}")


def test_a_third_environment_is_in_the_help_in_doctor_and_in_the_error() -> None:
    said = run(ONE_ENTRY + COMMANDS)
    assert said.returncode == 0, said.stderr
    helps, refused, seed, doctor = said.stdout.split("----\n")
    assert helps.count("fake, compose or native") == 3
    assert "'podman' is not one of: fake, compose, native" in refused
    assert "the fake environment has no PostgreSQL that can be seeded on its own" in seed
    assert doctor == "fake, of a test\n"


def test_no_environment_is_imported_before_it_is_looked_for() -> None:
    said = run(
        "import sys\nfrom vcpu_ladder.environments import registry\n"
        "print(*(name for name in sys.modules if name.startswith('vcpu_ladder.environments.')))\n"
        "registry.find('native')\n"
        "print(*(name for name in sys.modules if name.startswith('vcpu_ladder.environments.compose')))"
    )
    assert said.stdout == "vcpu_ladder.environments.base vcpu_ladder.environments.registry\n\n", said.stderr


def test_the_environments_are_imported_where_unix_only_modules_are_missing() -> None:
    folder = paths.HOME / "vcpu_ladder" / "environments"
    names = [".".join(path.relative_to(paths.HOME).with_suffix("").parts) for path in _modules(folder)]
    said = run(
        f"import sys\nimport psutil\nfor name in {WINDOWS_HAS_NOT}: sys.modules[name] = None\n"
        f"import importlib\nfor name in {names}: importlib.import_module(name)\n"
        "from vcpu_ladder.environments.registry import names\nprint(names())\n"
        "from vcpu_ladder.environments.sockets import open_files_allowed\nprint(open_files_allowed())"
    )
    assert said.stdout == "compose or native\n(inf, inf)\n", said.stderr


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.name not in ("__init__.py", "leash.py"))
