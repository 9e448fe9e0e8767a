"""What the published studies share: the table of paths, which knobs affect them, and the right answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from httpx import Request, Response

from services.api.studies.routers import STUDIES
from services.contract.endpoints import ENDPOINTS, SHOP
from services.contract.knobs import DEFAULTS, inapplicable, on_threads
from tests.unit.test_ladder import HEAD, stage, write
from vcpu_ladder.errors import RunInvalid, UsageError
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import ResolvedStage, resolve, resolve_all
from vcpu_ladder.run import correctness
from vcpu_ladder.run.counters import Counters
from vcpu_ladder.run.drive import load_variables

STUDY_HEAD = HEAD.replace("shop.js", "study.js")
AWAITED = 'knobs = { endpoint = "/async_endpoint_async_processing" }\n'
BLOCKING = 'knobs = { endpoint = "/sync_endpoint_sync_processing" }\n'


def sleeping(folder: Path, root: str = AWAITED) -> ResolvedStage:
    return resolve(load_ladder(write(folder, root, STUDY_HEAD)), "a")


def test_every_study_of_the_table_has_a_factory_and_every_factory_paths() -> None:
    assert {endpoint.study for endpoint in ENDPOINTS.values()} == set(STUDIES)


@pytest.mark.parametrize(
    ("name", "endpoint", "reason"),
    [
        ("handlers", "/sync_endpoint_sync_processing", "endpoint = /sync_endpoint_sync_processing does not"),
        ("hold", "/async_endpoint_async_processing", "endpoint = /async_endpoint_async_processing does not"),
        ("threads", "/async_endpoint_async_processing", "does not use it"),
        ("threads", "/sync_endpoint_sync_processing", None),
        ("workers", "/async_endpoint_async_processing", None),
        ("endpoint", "/async_endpoint_async_processing", None),
        ("threads", SHOP, "handlers = async runs no handler on threads"),
        ("handlers", SHOP, None),
    ],
)
def test_a_knob_acts_where_the_endpoint_uses_it(name: str, endpoint: str, reason: str | None) -> None:
    found = inapplicable(name, {**DEFAULTS, "endpoint": endpoint})
    assert found == reason if reason is None else reason in (found or "")


def test_def_endpoints_run_on_threads_whatever_the_shops_handlers() -> None:
    assert on_threads({**DEFAULTS, "endpoint": "/sync_endpoint_sync_processing"})
    assert not on_threads({"handlers": "sync", "endpoint": "/async_endpoint_async_processing"})
    assert on_threads({"handlers": "sync"})  # a record older than the knob


@pytest.mark.parametrize(
    ("head", "root", "message"),
    [
        (HEAD, AWAITED, "shop.js does not call it"),
        (STUDY_HEAD, "", "endpoint = shop: study.js does not call it"),
        (
            STUDY_HEAD,
            AWAITED + stage("b", 'handlers = "sync"'),
            "stage b: handlers = sync: cannot act here: endpoint = /async_endpoint_async_processing",
        ),
        (STUDY_HEAD, AWAITED + stage("b", 'endpoint = "/nowhere"'), "endpoint = '/nowhere' is not allowed"),
        (
            STUDY_HEAD.replace("users = 10", 'users = 10\nramp = "2s"'),
            AWAITED,
            "load: ramp = 2 is not allowed: 0 to 1",
        ),
        (
            STUDY_HEAD,
            AWAITED + 'published = { rps = 1, source = "x", p50 = 3 }\n',
            "baseline.published.p50",
        ),
        (STUDY_HEAD, AWAITED + 'failures = "ignored"\n', "baseline.failures"),
    ],
)
def test_what_a_study_ladder_may_not_say_is_refused(
    tmp_path: Path, head: str, root: str, message: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        resolve_all(load_ladder(write(tmp_path, root, head)))
    assert message in refusal.value.what


def test_the_load_learns_the_path_and_the_right_body(tmp_path: Path) -> None:
    resolved = sleeping(tmp_path)
    assert load_variables(resolved, '{"wait_ms":1000}') == {
        "LADDER_PATH": "/async_endpoint_async_processing",
        "LADDER_BODY": '{"wait_ms":1000}',
    }
    assert set(load_variables(resolve(load_ladder(write(tmp_path, "")), "a"), "")) == {
        "LADDER_ROWS_USERS",
        "LADDER_ROWS_PRODUCTS",
    }


def test_a_load_without_a_ramp_is_the_load_it_was(tmp_path: Path) -> None:
    ramped = STUDY_HEAD.replace("users = 10", 'users = 10\nramp = "1s"')
    plain, with_ramp = (
        load_ladder(write(tmp_path, AWAITED, head)).load.identity() for head in (STUDY_HEAD, ramped)
    )
    assert "ramp_s" not in plain
    assert with_ramp == {**plain, "ramp_s": 1.0}


def test_published_figures_and_counted_failures_are_read(tmp_path: Path) -> None:
    text = AWAITED + 'failures = "counted"\n' + stage("b", "workers = 2")
    text = text.replace(
        'why = "because"',
        'why = "because"\npublished = { rps = 163.8, p95_ms = 60000.0, failed_ratio = 0.8095, source = "s" }',
    )
    stages = load_ladder(write(tmp_path, text, STUDY_HEAD)).stages
    assert (stages["a"].failures_count, stages["b"].failures_count) == (True, False)
    assert stages["b"].published is not None
    assert stages["b"].published.others == {"p95_ms": 60000.0, "failed_ratio": 0.8095}


@pytest.mark.parametrize(
    ("root", "body", "took_s", "message"),
    [
        (AWAITED, '{"wait_ms":1000}', 1.01, None),
        (AWAITED, '{"wait_ms":1000}', 0.2, "answered after 0.200 s, and waits 1 s"),
        (BLOCKING, '{"wait_ms":500}', 1.01, "(expected 200) with"),
        (BLOCKING, "[]", 1.01, "(expected 200) with"),
    ],
)
def test_a_study_that_answers_wrongly_or_too_soon_is_not_measured(
    root: str,
    body: str,
    took_s: float,
    message: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]

    def answer(method: str, url: str, **_: Any) -> Response:
        clock[0] += took_s
        return Response(200, text=body, request=Request(method, url))

    monkeypatch.setattr(correctness, "request", answer)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda _: None)
    counters = Counters({7: {"statements": 3.0}})
    resolved = sleeping(tmp_path, root)

    def check() -> tuple[str, Counters]:
        return correctness.check_correctness(resolved, "http://service", lambda: counters, lambda: 0)

    if message is None:
        assert check() == (body, counters)
        return
    with pytest.raises(RunInvalid) as refusal:
        check()
    assert message in refusal.value.what


@pytest.mark.parametrize(
    ("after", "called", "message"),
    [
        ({"statements": 3.0}, 0, None),
        ({"statements": 4.0}, 0, "0 SQL statements expected of 1 requests, 1 sent"),
        ({"statements": 3.0}, 1, "0 upstream calls expected, the upstream saw 1"),
        ({"statements": 3.0, "in_flight": 1.0}, 0, "1 requests are under way, and every one was answered"),
        ({"statements": 3.0, "upstream_in_flight": 1.0}, 0, "1 requests are under way"),
    ],
)
def test_what_the_check_brought_about_is_counted_exactly(
    after: dict[str, float],
    called: int,
    message: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(method: str, url: str, **_: Any) -> Response:
        clock[0] += 1.01
        return Response(200, text='{"wait_ms":1000}', request=Request(method, url))

    clock = [100.0]
    monkeypatch.setattr(correctness, "request", answer)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    readings = iter([Counters({7: {"statements": 3.0}}), Counters({7: after})])
    calls = iter([5, 5 + called])

    def check() -> tuple[str, Counters]:
        resolved = sleeping(tmp_path, AWAITED)
        return correctness.check_correctness(
            resolved, "http://service", lambda: next(readings), lambda: next(calls)
        )

    if message is None:
        assert check()[1] == Counters({7: after})
        return
    with pytest.raises(RunInvalid, match=message):
        check()
