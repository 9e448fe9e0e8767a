"""What select and simulation must answer, for which user, and that their sync and async twins agree."""

from __future__ import annotations

import ast
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from services.api.studies import simulation
from services.contract.endpoints import ENDPOINTS
from services.contract.knobs import DEFAULTS, KNOBS
from tests.factory import stage
from tests.unit.test_ladder import HEAD, write
from tests.unit.test_twins import API, unawaited
from vcpu_ladder import paths
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import resolve_all
from vcpu_ladder.run.expect_study import called_path, expectations, fibonacci

SELECT, SIMULATION = paths.LADDERS / "select.toml", paths.LADDERS / "simulation.toml"
ROWS = {"rows": [[7, "paid", "2025-01-01T00:00:00Z"], [9, "pending", "2025-02-01T00:00:00Z"]]}
FRAMES: dict[str, Any] = {
    "total_qtd": 6,
    "fib": 610,
    "products": {"id": [3, 8], "quantity": [5, 1]},
    "all_user_orders": {"product_id": [3, 8, 3], "quantity": [2, 1, 3]},
}


def right(ladder: Path, name: str, body: Any) -> bool:
    (expectation,) = expectations(stage(name, ladder))
    return expectation.right(body)


def test_right_answers_are_right() -> None:
    assert right(SELECT, "sync", ROWS)
    assert right(SIMULATION, "async-w1-fib15", FRAMES)


@pytest.mark.parametrize(
    "rows", [[], ROWS["rows"][::-1], [ROWS["rows"][0]] * 2, [[7, "lost", "2025-01-01T00:00:00Z"]]]
)
def test_a_wrong_selection_is_wrong(rows: Any) -> None:
    assert not right(SELECT, "async", {"rows": rows})


@pytest.mark.parametrize(
    "wrong",
    [
        {"fib": 611},
        {"total_qtd": 7},
        {"products": {"id": [3, 8], "quantity": [5, 2]}},
        {"products": {"id": [3, 9], "quantity": [5, 1]}},
        {
            "total_qtd": 0,
            "products": {"id": [], "quantity": []},
            "all_user_orders": {"product_id": [], "quantity": []},
        },
    ],
)
def test_a_wrong_simulation_is_wrong(wrong: dict[str, Any]) -> None:
    assert not right(SIMULATION, "sync-w4-fib15", {**FRAMES, **wrong})


def test_each_depth_expects_its_own_number() -> None:
    assert not right(SIMULATION, "async-w1-fib20", FRAMES)
    assert right(SIMULATION, "async-w1-fib20", {**FRAMES, "fib": 6765})


@pytest.mark.parametrize("n", [0, 1, 2, 15, 20])
def test_the_recursion_and_the_addition_agree(n: int) -> None:
    assert simulation.fibonacci(n) == fibonacci(n)


def test_the_published_user_is_scaled_with_the_data() -> None:
    assert called_path(stage("async-w1-fib15", SIMULATION)) == "/async_simulation?user_id=82197"
    assert called_path(stage("sync", SELECT)) == "/sync_select?user_id=1"


def test_every_published_cell_of_the_simulation_is_a_stage() -> None:
    cells = {
        (str(one.knobs["endpoint"]), one.knobs["workers"], one.knobs["fib"])
        for one in resolve_all(load_ladder(SIMULATION)).values()
        if one.published
    }
    depths = (15, 20, 25, 30)
    assert cells == {
        *(("/async_simulation", workers, fib) for workers in (1, 4) for fib in depths),
        *(("/sync_simulation", workers, fib) for workers in (1, 4) for fib in depths),
        *(("/async_simulation_to_thread", 1, fib) for fib in depths),
    }


@pytest.mark.parametrize("endpoint", [one.path for one in ENDPOINTS.values() if one.statements])
def test_a_study_on_postgres_is_refused_on_sqlite(endpoint: str, tmp_path: Path) -> None:
    head = HEAD.replace("shop.js", "study.js")
    with pytest.raises(UsageError, match="it needs database = postgres"):
        resolve_all(load_ladder(write(tmp_path, f'knobs = {{ endpoint = "{endpoint}" }}\n', head)))


def test_pool_size_and_fib_are_proven_where_the_endpoint_has_them() -> None:
    size, fib = KNOBS["pool_size"].proof.expected, KNOBS["fib"].proof.expected
    knobs = {**DEFAULTS, "database": "postgres", "pool_size": 7, "fib": 25}
    assert (
        size({**knobs, "endpoint": "/sync_simulation"}),
        fib({**knobs, "endpoint": "/sync_simulation"}),
    ) == (7, 25)
    shown = {
        endpoint: (size({**knobs, "endpoint": endpoint}), fib({**knobs, "endpoint": endpoint}))
        for endpoint in ("/sync_simulation", "/sync_select", "shop")
    }
    assert shown == {"/sync_simulation": (7, 25), "/sync_select": (7, None), "shop": (5, None)}


TWINS = [
    ("studies/select.py", "async_select", "sync_select"),
    ("studies/simulation.py", "awaited_frame", "frame"),
]
_POOLS = {"awaiting": "blocking", "/async_select": "/sync_select"}


def _function(source: str, name: str) -> str:
    """The function's syntax tree without awaiting, under a common name."""
    (found,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    )
    plain = unawaited(deepcopy(found), _POOLS)
    assert isinstance(plain, ast.FunctionDef)
    plain.name = "twin"
    return ast.dump(plain)


@pytest.mark.parametrize(("module", "awaiting", "blocking"), TWINS)
def test_study_twins_differ_only_by_awaiting(module: str, awaiting: str, blocking: str) -> None:
    source = (API / module).read_text()
    assert _function(source, awaiting) == _function(source, blocking)
    changed = source.replace("await cursor.fetchall()", "await cursor.fetchone()")
    assert changed != source
    assert _function(changed, awaiting) != _function(changed, blocking)
