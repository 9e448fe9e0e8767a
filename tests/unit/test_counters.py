"""Counters that have settled: values that workers published before the request do not count."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from httpx import ConnectError

from vcpu_ladder.run import counters
from vcpu_ladder.run.counters import Counters, NotSettled, settled, settled_upstream

PUBLISHES_EVERY_S = 0.5
A_PUBLICATION_TAKES_S = 0.1


class Service:
    """Workers that publish twice a second, each at its own moment (pid 11 first), and a clock that advances
    only by sleeping. Each ends its eighth request at 100 s, when the first reading is requested.
    """

    def __init__(self, *phases_s: float) -> None:
        self.now = 100.0
        self.phases_s = dict(enumerate(phases_s, 11))
        self.under_way_until = 0.0
        self.blocked: dict[int, tuple[float, float]] = {}
        self.gone: dict[int, float] = {}

    def read(self, *_: Any) -> Counters:
        living = [pid for pid in self.phases_s if self.now < self.gone.get(pid, self.now + 1)]
        return Counters({pid: self._published(pid) for pid in living})

    def _published(self, pid: int) -> dict[str, float]:
        low, high = self.blocked.get(pid, (0.0, 0.0))
        at = low if low <= self.now < high else self.now
        count = int((at - self.phases_s[pid]) / PUBLISHES_EVERY_S)
        taken_at = count * PUBLISHES_EVERY_S + self.phases_s[pid] - A_PUBLICATION_TAKES_S
        return {
            "publications": float(count),
            "requests": 8.0 if taken_at >= 100.0 else 7.0,
            "in_flight": 1.0 if taken_at < self.under_way_until else 0.0,
        }


Serve = Callable[..., Service]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    def start(*phases_s: float) -> Service:
        service = Service(*phases_s)
        monkeypatch.setattr(counters, "read_counters", service.read)
        monkeypatch.setattr(time, "monotonic", lambda: service.now)
        monkeypatch.setattr(time, "sleep", lambda s: setattr(service, "now", service.now + s))
        return service

    return start


# Some of these have already begun to publish older values when they are asked.
@pytest.mark.parametrize("phase_s", [0.0, 0.02, 0.05, 0.08, 0.3, 0.49])
def test_what_ended_before_the_question_is_counted_in_every_worker(serve: Serve, phase_s: float) -> None:
    service = serve(0.25, phase_s)
    assert settled("http://service").each("requests") == {11: 8.0, 12: 8.0}
    assert service.now - 100.0 <= 2 * PUBLISHES_EVERY_S + 0.1


def test_it_waits_until_nothing_is_under_way_and_no_longer_than_it_may(serve: Serve) -> None:
    service = serve(0.25, 0.3)
    service.under_way_until = 103.0
    assert settled("http://service").under_way == 0
    assert 103.0 < service.now < 104.0
    service = serve(0.25, 0.3)
    service.under_way_until = 1000.0
    assert settled("http://service", idle_within_s=5.0).under_way == 2
    assert 105.0 <= service.now < 105.2


def test_a_worker_whose_loop_is_blocked_is_waited_for_and_named_in_the_end(serve: Serve) -> None:
    service = serve(0.25, 0.3)
    service.blocked[12] = (99.0, 103.0)
    assert settled("http://service").each("requests") == {11: 8.0, 12: 8.0}
    service = serve(0.25, 0.3)
    service.blocked[12] = (99.0, 1000.0)
    with pytest.raises(NotSettled, match=r"workers \[12\] have not published their counters for 10 s"):
        settled("http://service")
    assert service.now < 110.2


def test_a_worker_that_ends_is_not_waited_for_and_one_that_must_be_there_is(serve: Serve) -> None:
    service = serve(0.25, 0.3)
    service.blocked[12] = (99.0, 1000.0)
    service.gone[12] = 102.0
    assert list(settled("http://service").by_worker) == [11]
    serve(0.25, 0.3)
    with pytest.raises(NotSettled, match=r"workers \[13\]"):
        settled("http://service", pids=[11, 12, 13])


def test_a_service_that_does_not_answer_is_asked_again_until_the_deadline(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(0.25)
    answers_at = 103.0

    def late(*_: Any) -> Counters:
        if service.now < answers_at:
            raise ConnectError("refused")
        return service.read()

    monkeypatch.setattr(counters, "read_counters", late)
    assert settled("http://service").each("requests") == {11: 8.0}
    answers_at = 1000.0
    with pytest.raises(NotSettled, match=r"the service has not published .*ConnectError refused"):
        settled("http://service")


def test_only_a_process_that_has_published_is_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """# TYPE ladder_api_publications gauge
ladder_api_publications{pid="11"} 3
ladder_api_publications{pid="1"} 0
# TYPE ladder_api_requests gauge
ladder_api_requests{pid="11"} 5
ladder_api_requests{pid="1"} 0
# TYPE ladder_api_cgroup_quota_seconds gauge
ladder_api_cgroup_quota_seconds 0.1
"""
    monkeypatch.setattr(counters, "get_text", lambda *_: text)
    assert counters.read_counters("http://service") == Counters({11: {"publications": 3.0, "requests": 5.0}})
    assert counters.read_counters("http://service").values("requests") == [5.0]


def test_the_upstream_is_read_when_nothing_is_in_flight_or_the_time_is_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve()
    idle_from = 102.0

    def stats(_: str) -> dict[str, Any]:
        return {"in_flight": int(service.now < idle_from), "at": service.now}

    monkeypatch.setattr(counters, "upstream_in_force", stats)
    assert 102.0 <= settled_upstream("http://upstream")["at"] < 102.2
    idle_from = 1000.0
    assert settled_upstream("http://upstream", idle_within_s=3.0)["in_flight"] == 1
    assert service.now < 105.4
