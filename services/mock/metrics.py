"""The mock's Prometheus metrics, read from the recorder on a scrape: they cost a request nothing."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.mock.histogram import Histogram
from services.mock.recorder import Recorder
from services.mock.settings import Settings

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

# Upper bounds in ms: from a wait of a few ms to the tail of the slow profile (P99 22 s).
_BOUNDS_MS: Final = (5, 10, 25, 50, 100, 200, 400, 700, 1_000, 2_000, 4_000, 7_000, 13_000, 22_000, 60_000)
_ERROR_QUANTILES: Final = (0.5, 0.99, 1.0)


def render(settings: Settings, recorder: Recorder, rss_bytes: int | None) -> bytes:
    """All metrics in the text format. `rss_bytes` is left out when None."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(settings, recorder, rss_bytes))
    return generate_latest(registry)


class _Scrape(Collector):
    """One scrape, in Prometheus' base units (seconds, bytes), unlike the ms of `/stats`."""

    def __init__(self, settings: Settings, recorder: Recorder, rss_bytes: int | None) -> None:
        self._settings = settings
        self._recorder = recorder
        self._rss_bytes = rss_bytes

    def collect(self) -> Iterator[Metric]:
        yield from self._counts()
        recorder = self._recorder
        yield _histogram("mock_delay_intended_seconds", "Delays meant, by arrival.", recorder.intended)
        yield _histogram("mock_delay_kept_seconds", "Delays kept, by completion.", recorder.kept)
        error = GaugeMetricFamily(
            "mock_timer_error_seconds",
            "Delay kept minus delay meant, since the last reset.",
            labels=["quantile"],
        )
        for share, value_ms in zip(
            _ERROR_QUANTILES, recorder.timer_error.quantiles_ms(_ERROR_QUANTILES), strict=True
        ):
            if value_ms is not None:
                error.add_metric([f"{share:g}"], value_ms / 1000)
        yield error
        profile = self._settings.profile
        info = GaugeMetricFamily(
            "mock_profile_seconds", "The lognormal delay in force.", labels=["profile", "quantile"]
        )
        info.add_metric([self._settings.profile_name, "0.5"], profile.p50_ms / 1000)
        info.add_metric([self._settings.profile_name, "0.99"], profile.p99_ms / 1000)
        yield info

    def _counts(self) -> Iterator[Metric]:
        recorder = self._recorder
        counters = {
            "mock_requests": ("Delay requests that arrived.", recorder.requests),
            "mock_completed": ("Delay requests that were answered.", recorder.completed_count),
            "mock_aborted": ("Delay requests whose client left first.", recorder.aborted_count),
            "mock_bad_requests": ("Requests answered with an error.", recorder.bad_requests),
            "mock_internal_errors": ("Defects of the mock met while serving.", recorder.internal_errors),
        }
        for name, (text, count) in counters.items():
            yield CounterMetricFamily(name, text, value=count)
        yield GaugeMetricFamily("mock_in_flight", "Delay requests parked now.", value=recorder.in_flight)
        yield GaugeMetricFamily("mock_in_flight_max", "Most parked at once.", value=recorder.in_flight_max)
        if self._rss_bytes is not None:
            yield GaugeMetricFamily("mock_resident_memory_bytes", "Resident memory.", value=self._rss_bytes)


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    counts = histogram.cumulative(_BOUNDS_MS)
    buckets: list[tuple[str, float]] = [
        (str(bound / 1000), float(count)) for bound, count in zip(_BOUNDS_MS, counts, strict=True)
    ]
    buckets.append(("+Inf", float(histogram.n)))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total_ms / 1000)
