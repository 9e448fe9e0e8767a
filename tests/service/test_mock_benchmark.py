"""How the mock's benchmark summarises its runs; the measuring itself is not tested."""

import pytest

from benchmarks.mock.__main__ import holds, summarize, table, verdict
from benchmarks.mock.measure import Runs


def _parked(memory: float, client_p99: float, server_p99: float | None = None) -> dict[str, float]:
    figures = {
        "bytes_per_parked_request": memory,
        "client_timer_error_p50_ms": 0.5,
        "client_timer_error_p99_ms": client_p99,
    }
    if server_p99 is not None:
        figures |= {"server_timer_error_p50_ms": 0.4, "server_timer_error_p99_ms": server_p99}
    return figures


RUNS = {
    "mock": Runs([50.0, 40.0, 90.0], [_parked(m, c, 1.5) for m, c in ((10, 2.5), (20, 9.0), (30, 2.0))]),
    "go": Runs([40.0, 39.0, 10.0], [_parked(m, 4.0) for m in (100, 200, 80)]),
}


def test_the_figures_are_medians_and_the_timer_error_the_worse_of_both_views() -> None:
    assert summarize(RUNS) == {"rps_ratio": 50 / 39, "memory_ratio": 0.2, "timer_p99_ms": 2.5}
    assert verdict(summarize(RUNS)) == "mock_vs_go rps_ratio=1.28 memory_ratio=0.20 timer_p99_ms=2.50"


def test_the_table_has_a_dash_where_the_twin_keeps_no_books() -> None:
    go = table(RUNS).splitlines()[-1]
    assert go.startswith("go")
    assert go.endswith("-")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"rps_ratio": 0.99}, False),
        ({"memory_ratio": 0.31}, False),
        ({"timer_p99_ms": 3.1}, False),
    ],
)
def test_every_target_counts(change: dict[str, float], expected: bool) -> None:
    assert holds(summarize(RUNS) | change) is expected
