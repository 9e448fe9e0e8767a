"""The live view: labels on the service and on k6, and the errors for a wrong address."""

from __future__ import annotations

import pytest

from services.api import metrics
from services.api.settings import Settings
from tests.factory import record, stage
from vcpu_ladder.environments.host import free_port
from vcpu_ladder.environments.live import LiveView, run_labels
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.records.key import ComparisonKey


def test_without_an_address_nothing_is_pushed() -> None:
    assert LiveView.from_env({}) is None
    assert LiveView.from_env({"PROMETHEUS_URL": ""}) is None


def test_k6_and_the_service_carry_the_same_labels() -> None:
    view = LiveView.from_env({"PROMETHEUS_URL": "http://127.0.0.1:9090/"})
    assert view is not None
    told = view.arguments(stage("v2"), "r1")
    tags = {told[i + 1] for i, word in enumerate(told) if word == "--tag"}
    service = Settings.from_env(
        {"API_SQLITE_PATH": "/x", "API_UPSTREAM_URL": "http://127.0.0.1:1", **run_labels(stage("v2"), "r1")}
    )
    assert tags == {f"{name}={value}" for name, value in service.run.items()}
    assert tags == {"ladder=main", "stage=v2", "run=r1"}
    assert view.variables()["K6_PROMETHEUS_RW_SERVER_URL"] == "http://127.0.0.1:9090/api/v1/write"


def test_the_run_is_shown_once_and_only_if_it_has_labels() -> None:
    metrics.show_run({"ladder": "", "stage": "", "run": ""})
    assert b"ladder_api_run_info{" not in metrics.scrape()
    metrics.show_run({"ladder": "main", "stage": "v2", "run": "r1"})
    assert b'ladder_api_run_info{ladder="main",run="r1",stage="v2"} 1.0' in metrics.scrape()


@pytest.mark.parametrize("url", ["9090", "localhost:9090", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(EnvironmentNotReady, match=r"PROMETHEUS_URL = .* is not an address"):
        LiveView.from_env({"PROMETHEUS_URL": url})


def test_a_prometheus_that_does_not_answer_stops_the_run_before_it_starts() -> None:
    with pytest.raises(EnvironmentNotReady, match="no Prometheus is ready at PROMETHEUS_URL"):
        LiveView(f"http://127.0.0.1:{free_port()}").check_ready()


def test_a_watched_run_is_not_pooled_with_others() -> None:
    quiet, watched = record(), record()
    watched = watched.model_copy(update={"environment": {**watched.environment, "live_view": True}})
    assert ComparisonKey.of(quiet) != ComparisonKey.of(watched)
    assert ComparisonKey.of(quiet).differences(ComparisonKey.of(watched)).startswith("platform ")
