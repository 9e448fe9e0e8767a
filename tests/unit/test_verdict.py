"""Intervals must have their nominal coverage, and percentiles need samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vcpu_ladder.summary.formats.words import show_ratio
from vcpu_ladder.summary.verdict import Ratio, Served, enough_for, ratio


def served(*rates: float, least: float = 0.0) -> dict[int, Served]:
    return {block: Served(rps, least) for block, rps in enumerate(rates)}


def elsewhere(*rates: float) -> dict[str, Served]:
    return {f"another climb {block}": Served(rps) for block, rps in enumerate(rates)}


def test_paired_blocks_cancel_what_the_machine_did_to_both() -> None:
    drift = [1.0, 2.0, 0.5]
    parents = served(*(100 * speed for speed in drift))
    ours = served(*(120 * speed * wobble for speed, wobble in zip(drift, (0.99, 1.0, 1.01), strict=True)))
    found = ratio(ours, parents)
    assert found is not None
    assert found.pairs == 3
    assert found.value == pytest.approx(1.2, rel=0.01)
    assert found.verdict == "faster"


def test_runs_of_different_climbs_get_a_ratio_and_never_a_verdict() -> None:
    found = ratio(served(100.0, 101.0, 100.5), elsewhere(50.0, 49.0, 50.0))
    assert found is not None
    assert found.value == pytest.approx(2.02, rel=0.01)
    assert (found.low, found.pairs, found.verdict) == (None, 0, "no shared run: no interval")
    assert show_ratio(found) == "× 2.02 (of different climbs)"


def test_one_pair_gives_a_ratio_and_no_interval() -> None:
    found = ratio(served(50.0), served(100.0))
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert (found.low, found.verdict) == (None, "one run: no interval")


def test_nothing_to_compare_is_no_ratio() -> None:
    assert ratio({}, served(1.0)) is None
    assert ratio(served(0.0), served(1.0)) is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.01, 1.2, "faster"),
        (0.8, 0.99, "slower"),
        (0.98, 1.02, "same"),
        (1.006, 1.014, "same"),  # it excludes 1, and nobody cares for so little
        (0.98, 1.05, "undecided"),
        (1.001, 1.05, "faster"),
        (0.96, 0.999, "slower"),
    ],
)
def test_a_verdict_is_about_the_resolution(low: float, high: float, verdict: str) -> None:
    assert Ratio(math.sqrt(low * high), low, high, 5).verdict == verdict
    assert Ratio(math.sqrt(low * high), low, high, 5).at(1e-9) != "same"


def test_runs_that_agree_to_the_request_are_not_known_better_than_to_the_request() -> None:
    same = served(26.67, 26.67, 26.67, least=1 / 800)
    found = ratio(same, same)
    assert found is not None
    assert found.low == pytest.approx(1 - 1 / 800, rel=1e-4)
    assert found.high == pytest.approx(1 + 1 / 800, rel=1e-4)
    waves = ratio(served(26.67, 26.67, least=40 / 800), same)
    assert waves is not None
    assert waves.verdict == "undecided"


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (1.0098, 1.0061, 1.0136, "× 1.0098 (1.0061–1.0136)"),
        (0.98, 0.964, 0.99964, "× 0.980 (0.964–1.000)"),
        (38.8, 33.5, 44.9, "× 39 (34–45)"),
        (0.0124, 0.00615, 0.0251, "× 0.012 (0.006–0.025)"),
        (1.2, 1.1, 1.3, "× 1.20 (1.10–1.30)"),
    ],
)
def test_digits_follow_the_width_of_the_interval(value: float, low: float, high: float, shown: str) -> None:
    assert show_ratio(Ratio(value, low, high, 3)) == shown


def _bootstrap_interval(logs: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    means = random.choice(logs, (400, len(logs))).mean(axis=1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def test_the_t_interval_covers_and_the_percentile_bootstrap_of_three_runs_does_not() -> None:
    """Why the decision was taken (docs/decisions/0003): simulated coverage of a true ratio of 1.1."""
    random = np.random.default_rng(1)
    truth = math.log(1.1)
    covered = {"t": 0, "bootstrap": 0}
    trials = 600
    for _ in range(trials):
        logs = random.normal(truth, 0.05, 3)
        found = ratio(served(*map(math.exp, logs)), served(1.0, 1.0, 1.0))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered["t"] += math.log(found.low) <= truth <= math.log(found.high)
        low, high = _bootstrap_interval(logs, random)
        covered["bootstrap"] += low <= truth <= high
    assert covered["t"] / trials == pytest.approx(0.95, abs=0.03)
    assert covered["bootstrap"] / trials < 0.85


@pytest.mark.parametrize(
    ("percentile", "samples", "enough"),
    [(99, 999, False), (99, 1000, True), (95, 199, False), (95, 200, True)],
)
def test_a_percentile_needs_ten_samples_beyond_it(percentile: float, samples: int, enough: bool) -> None:
    assert enough_for(percentile, samples) is enough
