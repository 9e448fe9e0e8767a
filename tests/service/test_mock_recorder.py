"""The mock's recorder: histograms, counters and the log."""

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mock.histogram import Histogram
from services.mock.recorder import LOG_SIZE, Recorder


def rows(recorder: Recorder) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(recorder.log_csv()[0].decode())))


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=200), share=st.floats(0.01, 1))
def test_a_quantile_is_within_half_a_percent_of_the_sorted_one(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[math.ceil(round(share * len(values), 9)) - 1]
    (found,) = histogram.quantiles_ms([share])
    assert found == pytest.approx(exact, abs=0.0011 + 0.005 * exact)
    assert histogram.max_ms == max(values)
    assert histogram.mean_ms == pytest.approx(sum(values) / len(values))


def test_cumulative_counts_hold_what_is_at_most_the_bound() -> None:
    histogram = Histogram()
    for value_ms in (0.0, 1.0, 5.0, 20.0, 1e12):
        histogram.add(value_ms)
    assert histogram.cumulative((0.5, 5, 100, 1e13)) == [1, 3, 4, 5]


def test_an_empty_histogram_has_no_quantiles() -> None:
    histogram = Histogram()
    assert histogram.quantiles_ms((0.5, 0.99)) == [None, None]
    assert histogram.mean_ms is None


def test_the_log_is_in_order_of_arrival_whatever_the_order_of_completion() -> None:
    recorder = Recorder()
    first, second = recorder.arrived(b"a", 30.0), recorder.arrived(None, 10.0)
    parked, gone = recorder.arrived(b"c", 5.0), recorder.arrived(b"d", 5.0)
    recorder.completed(second, 10.0, 10.5)
    recorder.aborted(gone)
    recorder.completed(first, 30.0, 31.0)
    assert [tuple(row.values()) for row in rows(recorder)] == [
        ("0", "a", "30.000", "31.000"),
        ("1", "", "10.000", "10.500"),
        ("2", "c", "5.000", ""),
        ("3", "d", "5.000", ""),
    ]
    assert (recorder.requests, recorder.completed_count, recorder.aborted_count) == (4, 2, 1)
    assert (recorder.in_flight, recorder.in_flight_max) == (1, 4)
    recorder.completed(parked, 5.0, 5.0)
    assert recorder.requests == recorder.completed_count + recorder.aborted_count
    assert recorder.timer_error.max_ms == 1.0


def test_the_log_keeps_the_newest_and_says_how_many_it_dropped() -> None:
    recorder = Recorder()
    oldest = recorder.arrived(b"oldest", 1.0)
    for _ in range(LOG_SIZE):
        recorder.completed(recorder.arrived(b"k", 2.0), 2.0, 2.0)
    recorder.completed(oldest, 1.0, 99.0)  # its slot holds a newer request, which must not change
    body, dropped = recorder.log_csv()
    lines = body.decode().splitlines()
    assert dropped == 1
    assert len(lines) == LOG_SIZE + 1
    assert lines[1] == "1,k,2.000,2.000"
    assert lines[-1] == f"{LOG_SIZE},k,2.000,2.000"


def test_a_request_parked_across_a_reset_counts_only_as_in_flight() -> None:
    recorder = Recorder()
    before = [recorder.arrived(b"a", 1.0) for _ in range(3)]
    recorder.reset()
    assert (recorder.requests, recorder.in_flight, recorder.in_flight_max) == (0, 3, 3)
    recorder.completed(before[0], 1.0, 1.0)
    recorder.aborted(before[1])
    after = recorder.arrived(b"b", 1.0)
    recorder.completed(after, 1.0, 2.0)
    assert (recorder.requests, recorder.completed_count, recorder.aborted_count) == (1, 1, 0)
    assert recorder.in_flight == 1
    assert rows(recorder) == [{"seq": "0", "key": "b", "intended_ms": "1.000", "kept_ms": "2.000"}]
