"""Intervals must have their nominal coverage, and percentiles need samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vcpu_ladder.summary.verdict import enough_for, ratio


def test_paired_blocks_cancel_what_the_machine_did_to_both() -> None:
    drift = [1.0, 2.0, 0.5]
    parents = {block: 100 * speed for block, speed in enumerate(drift)}
    ours = {
        block: 120 * speed * wobble
        for block, speed, wobble in zip(range(3), drift, (0.99, 1.0, 1.01), strict=True)
    }
    found = ratio(ours, parents)
    assert found is not None
    assert found.paired
    assert found.value == pytest.approx(1.2, rel=0.01)
    assert found.verdict == "faster"


def test_unpaired_runs_are_compared_without_pretending_a_pair() -> None:
    found = ratio({"a": 100.0, "b": 101.0}, {"c": 100.0, "d": 99.0})
    assert found is not None
    assert not found.paired
    assert found.verdict == "no detectable change"


def test_one_run_gives_a_ratio_and_no_interval() -> None:
    found = ratio({"a": 50.0}, {"b": 100.0})
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert (found.low, found.verdict) == (None, "one run: no interval")


def test_nothing_to_compare_is_no_ratio() -> None:
    assert ratio({}, {"a": 1.0}) is None
    assert ratio({"a": 0.0}, {"a": 1.0}) is None


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
        found = ratio({i: math.exp(log) for i, log in enumerate(logs)}, dict.fromkeys(range(3), 1.0))
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
