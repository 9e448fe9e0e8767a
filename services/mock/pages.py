"""Everything except the delay itself: health, statistics, the log and the metrics."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.mock.histogram import Histogram
from services.mock.metrics import CONTENT_TYPE, render
from services.mock.recorder import Recorder
from services.mock.settings import Settings

JSON: Final = b"application/json"
_STATM: Final = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Page:
    """A finished answer: status, content type, body, and extra header lines (each ends in CRLF)."""

    status: int
    content_type: bytes
    body: bytes
    headers: bytes = b""


def json_page(content: dict[str, object]) -> Page:
    return Page(200, JSON, json.dumps(content).encode())


class Pages:
    """The pages by path. Each takes the loop well under 1 ms, except `/log`: about 60 ms when it is full,
    which would add to the timer error of parked requests, so it is meant for after the load."""

    def __init__(self, settings: Settings, recorder: Recorder) -> None:
        self._settings = settings
        self._recorder = recorder
        self._pages: dict[tuple[str, bytes], Callable[[], Page]] = {
            ("/healthz", b"GET"): lambda: json_page({"status": "ok"}),
            ("/stats", b"GET"): lambda: json_page(self.stats()),
            ("/log", b"GET"): self._log,
            ("/metrics", b"GET"): lambda: Page(200, CONTENT_TYPE, render(settings, recorder, rss_bytes())),
            ("/reset", b"POST"): self._reset,
        }

    def find(self, path: str, method: bytes) -> Callable[[], Page] | str | None:
        """The page for path and method; the allowed methods (as in Allow) if the method is another one;
        None for an unknown path. HEAD is a GET whose body the connection leaves out."""
        page = self._pages.get((path, b"GET" if method == b"HEAD" else method))
        if page is not None:
            return page
        if (path, b"GET") in self._pages:
            return "GET, HEAD"
        return "POST" if (path, b"POST") in self._pages else None

    def stats(self) -> dict[str, object]:
        """The content of `/stats`. Durations in ms; a quantile of nothing is null."""
        settings, recorder = self._settings, self._recorder
        return {
            "profile": {
                "name": settings.profile_name,
                "p50_ms": settings.profile.p50_ms,
                "p99_ms": settings.profile.p99_ms,
                "sigma": settings.profile.sigma,
                "mean_ms": settings.profile.mean_ms,
                "seed": settings.seed,
            },
            "requests": recorder.requests,
            "in_flight": recorder.in_flight,
            "in_flight_max": recorder.in_flight_max,
            "completed": recorder.completed_count,
            "aborted": recorder.aborted_count,
            "bad_requests": recorder.bad_requests,
            "internal_errors": recorder.internal_errors,
            "intended_ms": _summary(recorder.intended, p50=0.5, p90=0.9, p95=0.95, p99=0.99),
            "kept_ms": _summary(recorder.kept, p50=0.5, p90=0.9, p95=0.95, p99=0.99),
            "timer_error_ms": _summary(recorder.timer_error, p50=0.5, p99=0.99),
            "rss_bytes": rss_bytes(),
            "pid": os.getpid(),
        }

    def _log(self) -> Page:
        body, dropped = self._recorder.log_csv()
        return Page(200, b"text/csv; charset=utf-8", body, b"X-Dropped: %d\r\n" % dropped)

    def _reset(self) -> Page:
        self._recorder.reset()
        return json_page({"status": "reset"})


def rss_bytes() -> int | None:
    """Resident memory of this process in bytes; None without /proc."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _summary(histogram: Histogram, **shares: float) -> dict[str, float | int | None]:
    quantiles = dict(zip(shares, map(_round, histogram.quantiles_ms(tuple(shares.values()))), strict=True))
    return {
        "n": histogram.n,
        "mean": _round(histogram.mean_ms),
        **quantiles,
        "max": _round(histogram.max_ms if histogram.n else None),
    }


def _round(value_ms: float | None) -> float | None:
    return None if value_ms is None else round(value_ms, 3)
