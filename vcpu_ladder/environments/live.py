"""The live view: the labels that a run carries into Prometheus, and how k6 pushes its metrics there.

The runner owns the run and the record; the view only watches. It costs CPU on both sides, so a record says
whether it was on, and watched runs are compared with watched runs only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from services.contract.labels import RUN_LABELS
from vcpu_ladder.environments.loopback import request
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage

VARIABLE = "PROMETHEUS_URL"


def labels(stage: ResolvedStage, run_id: str) -> dict[str, str]:
    """{ladder, stage, run}: the same on the service's metrics and on k6's."""
    return {"ladder": stage.ladder, "stage": stage.id, "run": run_id}


def run_labels(stage: ResolvedStage, run_id: str) -> dict[str, str]:
    """The labels as the service's ``API_RUN_*`` variables."""
    return {RUN_LABELS[label]: value for label, value in labels(stage, run_id).items()}


@dataclass(frozen=True)
class LiveView:
    """A Prometheus with its remote-write receiver on, as k6 reaches it."""

    url: str

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> LiveView | None:
        """``PROMETHEUS_URL``; None if it is not set. Raises EnvironmentNotReady if it is not an address."""
        url = env.get(VARIABLE, "").rstrip("/")
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EnvironmentNotReady(
                f"{VARIABLE} = {url!r} is not an address like http://127.0.0.1:9090",
                next_command=f"unset {VARIABLE}",
            )
        return cls(url)

    def check_ready(self) -> None:
        """Raises EnvironmentNotReady if no Prometheus answers: the run's metrics would be lost."""
        try:
            answer = request("GET", f"{self.url}/-/ready")
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise EnvironmentNotReady(
                f"no Prometheus is ready at {VARIABLE} = {self.url}: {type(error).__name__}",
                next_command=f"unset {VARIABLE}, or start Prometheus",
            ) from None

    def arguments(self, stage: ResolvedStage, run_id: str) -> list[str]:
        """The arguments of ``k6 run`` that put the run's labels on each of its series."""
        tags = [
            part for name, value in labels(stage, run_id).items() for part in ("--tag", f"{name}={value}")
        ]
        return ["--out", "experimental-prometheus-rw", *tags]

    def variables(self) -> dict[str, str]:
        """k6's own settings for that output. Stale markers end its series when the load ends."""
        return {
            "K6_PROMETHEUS_RW_SERVER_URL": f"{self.url}/api/v1/write",
            "K6_PROMETHEUS_RW_TREND_AS_NATIVE_HISTOGRAM": "true",
            "K6_PROMETHEUS_RW_PUSH_INTERVAL": "1s",
            "K6_PROMETHEUS_RW_STALE_MARKERS": "true",
        }
