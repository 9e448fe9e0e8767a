"""Curves: which value is enough, where the curve bends, and which curves a ladder file may not declare."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.factory import POSTGRES, record, stage
from vcpu_ladder.commands.documents import rewrite
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import resolve_all
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.summary.curve import Curve, curves
from vcpu_ladder.summary.formats.words import curve_line
from vcpu_ladder.summary.merge import merge

# The shape of a pool that is the limit until the CPU is.
BENT = {1: 22.0, 2: 44.0, 5: 108.0, 10: 215.0, 20: 330.0, 50: 334.0}


def records(rates: Mapping[int, float], noise: float = 0.03, repeats: int = 3) -> list[RunRecord]:
    made = []
    for size, rps in rates.items():
        resolved = stage(f"pool-{size}", POSTGRES)
        for repeat in range(repeats):
            one = record(
                f"pool-{size}",
                rps * random.Random(f"{size}-{repeat}").uniform(1 - noise, 1 + noise),
                repeat,
                path=POSTGRES,
                curves=dict(resolved.curves),
            )
            made.append(one)
    return made


def curve(rates: Mapping[int, float], noise: float = 0.03, repeats: int = 3) -> Curve:
    (found,) = curves(merge(records(rates, noise, repeats)))
    return found


def test_the_smallest_within_noise_and_the_bend_are_found() -> None:
    found = curve(BENT)
    assert [point.value for point in found.points] == [1, 2, 5, 10, 20, 50]
    assert found.best.value == 50
    assert found.smallest_enough is not None
    assert found.smallest_enough.value == 20
    assert [point.value for point in found.points if point.within_noise] == [20, 50]
    assert found.bend is not None
    assert found.bend.value == 20


def test_a_curve_that_only_rises_has_its_largest_value_as_the_only_one_within_noise() -> None:
    found = curve({1: 10.0, 2: 20.0, 5: 50.0, 10: 100.0}, noise=0.0)
    assert found.smallest_enough is found.best
    assert found.bend is None


def test_one_run_a_point_says_nothing_about_noise() -> None:
    found = curve(BENT, repeats=1)
    assert found.smallest_enough is None
    assert "one run a point says nothing about noise" in curve_line(found)


def test_two_points_are_no_curve_and_stages_without_a_valid_run_are_named() -> None:
    two = records({1: 22.0, 2: 44.0})
    assert curves(merge(two)) == []
    broken = [one.model_copy(update={"status": "invalid"}) for one in records({50: 1.0})]
    rates = {size: rps for size, rps in BENT.items() if size != 50}
    (found,) = curves(merge([*records(rates), *broken]))
    assert found.missing == ("pool-50",)
    assert "no valid run of pool-50" in curve_line(found)


def test_a_document_can_show_a_curve_and_lacks_none_silently() -> None:
    text = "<!-- figure: curve postgres pool --><!-- end -->"
    shown = rewrite(text, records(BENT))
    assert "| 20 | 3 |" in shown
    assert "bends at 20" in shown
    with pytest.raises(UsageError, match="curve postgres pool"):
        rewrite(text, records({1: 22.0}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('knob = "pool_size"\nstages = ["pool-1", "held"]', "differ in pool_size, and in nothing else"),
        ('knob = "pool_size"\nstages = ["pool-1", "pool-1"]', "differ in pool_size, and in nothing else"),
        ('knob = "pool"\nstages = ["pool-1", "pool-2"]', "'pool' is not a knob with numbers"),
        ('knob = "pool_size"\nstages = ["pool-1", "nowhere"]', "no stage 'nowhere'"),
    ],
)
def test_what_is_no_curve_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "postgres.toml"
    path.write_text(POSTGRES.read_text() + f"\n[curves.wrong]\n{text}\n")
    with pytest.raises(UsageError, match=r"curve wrong: .*" + message):
        resolve_all(load_ladder(path))
