"""The load: two models as two types, and a rate that is a parameter of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.factory import MAIN, record
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.ladder import Ladder
from vcpu_ladder.ladder.load import ClosedLoad, OpenLoad
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import resolve
from vcpu_ladder.records.key import ComparisonKey
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.summary.formats import FORMATS
from vcpu_ladder.summary.formats.words import cells
from vcpu_ladder.summary.merge import by_name, merge

OPEN = """
title = "t"
climb = ["a"]
[load]
script = "shop.js"
model = "open"
rate = 50.0
max_users = 20
warmup = "1s"
measure = "2s"
[data]
scale = 0.01
[baseline]
id = "a"
why = "because"
"""
CLOSED = OPEN.replace('"open"\nrate = 50.0\nmax_users = 20', '"closed"\nusers = 10\nramp = "1s"')


def read(tmp_path: Path, text: str) -> Ladder:
    path = tmp_path / "t.toml"
    path.write_text(text)
    return load_ladder(path)


def test_each_model_is_a_type_with_its_own_fields_and_variables(tmp_path: Path) -> None:
    opened, closed = (read(tmp_path, text).load for text in (OPEN, CLOSED))
    assert opened == OpenLoad(
        script="shop.js", warmup_s=1, measure_s=2, timeout_s=60, seed=1, rate_rps=50, max_users=20
    )
    assert closed == ClosedLoad(
        script="shop.js", warmup_s=1, measure_s=2, timeout_s=60, seed=1, users=10, ramp_s=1
    )
    common = {"LADDER_WARMUP_S": "1", "LADDER_MEASURE_S": "2", "LADDER_TIMEOUT_S": "60", "LADDER_SEED": "1"}
    common["LADDER_DRAIN_S"] = "5"
    assert opened.variables() == common | {
        "LADDER_MODEL": "open",
        "LADDER_RATE": "50",
        "LADDER_MAX_USERS": "20",
        "LADDER_RAMP_S": "0",
    }
    assert closed.variables() == common | {
        "LADDER_MODEL": "closed",
        "LADDER_USERS": "10",
        "LADDER_RAMP_S": "1",
    }
    assert "50 requests/s" in opened.describe()
    assert "10 users, 1 s ramp" in closed.describe()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (OPEN.replace("rate =", "users = 5\nrate ="), "load: users"),
        (OPEN.replace("rate =", 'ramp = "1s"\nrate ='), "load: ramp"),
        (CLOSED.replace("users =", "rate = 5.0\nusers ="), "load: rate"),
        (CLOSED.replace("users =", "max_users = 5\nusers ="), "load: max_users"),
        (OPEN.replace("[data]", "[sizes.full]\nusers = 5\n[data]"), "sizes.full: users"),
    ],
)
def test_what_belongs_to_the_other_model_is_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(UsageError, match=f"{named}: means nothing in the"):
        read(tmp_path, text)


@pytest.mark.parametrize("old", ["rate = 50.0", "max_users = 20"])
def test_bounds_are_those_of_the_model(tmp_path: Path, old: str) -> None:
    with pytest.raises(UsageError, match="is not allowed"):
        read(tmp_path, OPEN.replace(old, f"{old.split(' ')[0]} = 0"))


def test_seed_and_rate_are_no_part_of_what_a_load_is(tmp_path: Path) -> None:
    ladder = read(tmp_path, OPEN)
    assert isinstance(ladder.load, OpenLoad)
    faster = replace(ladder.load, rate_rps=99.0, seed=7)
    one, other, longer = (
        resolve(ladder, "a", load).load_fingerprint
        for load in (ladder.load, faster, replace(ladder.load, measure_s=3.0))
    )
    assert one == other
    assert one != longer


def at(rate_rps: float, name: str, rps: float, repeat: int = 0) -> RunRecord:
    load = OpenLoad(
        script="shop.js", warmup_s=1, measure_s=2, timeout_s=60, seed=1, rate_rps=rate_rps, max_users=20
    )
    return record(name, rps, repeat, path=MAIN, load=load.recorded(1 + repeat))


SEARCH = [
    at(rate, name, rate * (0.5 if name == "v1" else 1.0), repeat)
    for repeat, rate in enumerate((100.0, 200.0, 400.0, 200.0))
    for name in ("v1", "v2")
]


def test_a_search_of_many_rates_is_many_rows_of_one_key() -> None:
    rows = merge(SEARCH)
    assert len({ComparisonKey.of(one) for one in SEARCH}) == 1
    assert [(row.label, row.n, row.rps) for row in rows] == [
        ("v1 at 100/s", 1, 50.0),
        ("v1 at 200/s", 2, 100.0),
        ("v1 at 400/s", 1, 200.0),
        ("v2 at 100/s", 1, 100.0),
        ("v2 at 200/s", 2, 200.0),
        ("v2 at 400/s", 1, 400.0),
    ]
    # Each is compared with its parent at the same rate.
    assert [row.ratio and row.ratio.value for row in rows[3:]] == [pytest.approx(2.0)] * 3
    assert [row.pairs for row in rows[3:]] == [1, 2, 1]
    assert rows[3].comparable_with(rows[0])
    assert not rows[3].comparable_with(rows[1])
    assert by_name(rows)["main/v2"].rate_rps == 200.0  # measured last


def test_every_format_says_the_rate() -> None:
    rows = merge(SEARCH)
    assert [cells(row)[0] for row in rows] == [row.label for row in rows]
    for name, said in {"md": "| v2 at 400/s |", "csv": ",native,400,", "json": '"rate_rps": 400.0'}.items():
        assert said in FORMATS[name](rows), name


def test_a_parent_at_another_rate_is_no_parent() -> None:
    rows = merge([at(100.0, "v1", 50.0), at(200.0, "v2", 200.0)])
    assert [row.verdict for row in rows] == ["baseline", "no parent measured"]
