"""Imports run in one direction, down the layers, without cycles. Only the source is read."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from vcpu_ladder import paths

# Each package with the packages that it may import besides itself. The longest matching name wins.
HOUSE: dict[str, tuple[str, ...]] = {
    "services.contract": (),
    "services.mock": ("services.contract",),
    "services.api": ("services.contract",),
    "vcpu_ladder.errors": (),
    "vcpu_ladder.paths": (),
    "vcpu_ladder.interrupts": (),
    "vcpu_ladder.records": ("services.contract", "vcpu_ladder.errors", "vcpu_ladder.paths"),
}
_READERS = (*HOUSE["vcpu_ladder.records"], "vcpu_ladder.records")
HOUSE |= {
    "vcpu_ladder.ladder": _READERS,
    "vcpu_ladder.audit": (*_READERS, "vcpu_ladder.ladder"),
    "vcpu_ladder.summary": _READERS,
    "vcpu_ladder.replicate": (
        *_READERS,
        *("vcpu_ladder.ladder", "vcpu_ladder.summary", "vcpu_ladder.audit"),
    ),
    "vcpu_ladder.data": (*_READERS, "vcpu_ladder.ladder"),
    "vcpu_ladder.postgres": (*_READERS, "vcpu_ladder.ladder", "vcpu_ladder.data"),
    "vcpu_ladder.environments": (
        *_READERS,
        *("vcpu_ladder.ladder", "vcpu_ladder.data", "vcpu_ladder.postgres"),
    ),
    "vcpu_ladder.environments.native": ("vcpu_ladder.environments",),
    "vcpu_ladder.environments.compose": ("vcpu_ladder.environments",),
    "vcpu_ladder.run": (
        *_READERS,
        *("vcpu_ladder.interrupts", "vcpu_ladder.ladder", "vcpu_ladder.environments"),
    ),
    "vcpu_ladder.commands": ("vcpu_ladder",),
}
for _sibling in ("native", "compose"):
    _outer = HOUSE["vcpu_ladder.environments"]
    HOUSE[f"vcpu_ladder.environments.{_sibling}"] = (*_outer, "vcpu_ladder.environments")
# The only module of the environments that may import the sibling packages.
REGISTRY = "vcpu_ladder.environments.registry"
# Run as a program: `python -m` may name a package of any layer, which then calls a command.
PROGRAM = ".__main__"
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 50


def modules(home: Path) -> dict[str, Path]:
    """{dotted name: file} of the product's own modules."""
    found = {}
    for package in ("services", "vcpu_ladder"):
        for path in sorted((home / package).rglob("*.py")):
            name = ".".join(path.relative_to(home).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Every module of ours that the file imports, also inside functions and for type checkers only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in known:
                    yield whole
                elif node.module in known:
                    yield node.module


def room(module: str) -> str:
    inside = [name for name in HOUSE if module == name or module.startswith(f"{name}.")]
    return max(inside, key=len, default="")


def wrong_ways(home: Path) -> list[str]:
    """``importer -> imported`` for each import that HOUSE does not allow."""
    known = modules(home)
    wrong = []
    for name, path in known.items():
        for other in imported(path, known):
            mine, theirs = room(name), room(other)
            allowed = mine == theirs or theirs in HOUSE.get(mine, ())
            if mine == "vcpu_ladder.commands":
                allowed = other.startswith("vcpu_ladder") or theirs == "services.contract"
            if name == REGISTRY:
                allowed = allowed or theirs.startswith("vcpu_ladder.environments.")
            # `from services import x` and the like name the empty package itself.
            if not allowed and not name.endswith(PROGRAM) and other not in ("services", "vcpu_ladder"):
                wrong.append(f"{name} -> {other}")
    return sorted(set(wrong))


def circle(home: Path) -> list[str]:
    """The modules of one import cycle, in order; empty if there is none."""
    known = modules(home)
    arrows = {
        name: {other for other in imported(path, known) if not name.startswith(f"{other}.") and other != name}
        for name, path in known.items()
    }
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def too_long(home: Path) -> list[str]:
    found = []
    for name, path in modules(home).items():
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MOST_LINES:
            found.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > MOST_LINES_OF_A_FUNCTION:
                    found.append(f"{name}.{node.name}: {length} lines")
    return found


def test_every_import_runs_down_the_house() -> None:
    assert wrong_ways(paths.HOME) == []


def test_no_imports_run_round() -> None:
    assert circle(paths.HOME) == []


def test_no_module_is_longer_than_300_lines_and_no_function_than_50() -> None:
    assert too_long(paths.HOME) == []


def test_every_module_stands_in_a_room() -> None:
    entries = {"services", "vcpu_ladder", "vcpu_ladder.__main__"}
    assert [name for name in modules(paths.HOME) if not room(name) and name not in entries] == []


def test_the_contract_needs_the_standard_library_only() -> None:
    for name, path in modules(paths.HOME).items():
        if room(name) != "services.contract":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            tops = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            tops += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            outside = [top for top in tops if top.split(".")[0] not in (*sys.stdlib_module_names, "services")]
            assert outside == [], f"{name} imports {outside}"


@pytest.fixture
def broken_house(tmp_path: Path) -> Path:
    """A small source tree, to be broken."""
    for name, text in {
        "services/contract/knobs.py": "",
        "vcpu_ladder/records/record.py": "from services.contract import knobs\n",
        "vcpu_ladder/run/stage.py": "from vcpu_ladder.records.record import RunRecord\n",
        "vcpu_ladder/summary/merge.py": "from vcpu_ladder.records import record\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_an_import_that_runs_up_is_found(broken_house: Path) -> None:
    assert wrong_ways(broken_house) == []
    for name, text in {
        "services/contract/knobs.py": "import vcpu_ladder.records.record\n",
        "vcpu_ladder/records/record.py": "def f():\n    from vcpu_ladder.run.stage import run_stage\n",
        "vcpu_ladder/summary/merge.py": "from vcpu_ladder.run import stage\n",
    }.items():
        path = broken_house / name
        kept = path.read_text()
        path.write_text(text)
        assert len(wrong_ways(broken_house)) == 1, name
        path.write_text(kept)


def test_a_circle_and_a_long_function_are_found(broken_house: Path) -> None:
    assert circle(broken_house) == []
    (broken_house / "vcpu_ladder/records/other.py").write_text("from vcpu_ladder.records import record\n")
    path = broken_house / "vcpu_ladder/records/record.py"
    path.write_text("from vcpu_ladder.records import other\n")
    assert set(circle(broken_house)) == {"vcpu_ladder.records.record", "vcpu_ladder.records.other"}
    path.write_text("def f():\n" + "    x = 1\n" * 50)
    assert too_long(broken_house) == ["vcpu_ladder.records.record.f: 51 lines"]
    path.write_text("x = 1\n" * 301)
    assert too_long(broken_house) == ["vcpu_ladder.records.record: 301 lines"]
