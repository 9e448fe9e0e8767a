"""How the service and the upstream of a stage are started: the same command in every environment."""

from __future__ import annotations

from services.contract.delays import MOCK_SEED
from vcpu_ladder.ladder.resolve import ResolvedStage

_START_S = 30.0
# Each worker imports the service separately, and they share the one CPU.
_START_A_WORKER_S = 5.0


def start_deadline_s(stage: ResolvedStage) -> float:
    """How long the service may take until its first answer."""
    return _START_S + _START_A_WORKER_S * int(stage.knobs["workers"])


def service_command(stage: ResolvedStage, python: str, host: str, port: int) -> list[str]:
    """Access logs are off in every stage: they cost CPU, the same in each."""
    workers = ["--workers", str(stage.knobs["workers"])]
    if stage.knobs["server"] == "gunicorn":
        bind = ["--bind", f"{host}:{port}"]
        settings = ["--config", "python:services.api.gunicorn_conf"]
        return [python, "-m", "gunicorn", "services.api.app:app", *bind, *workers, *settings]
    quiet = ["--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
    place = ["--host", host, "--port", str(port)]
    return [python, "-m", "uvicorn", "services.api.app:app", *place, *workers, *quiet]


def upstream_command(stage: ResolvedStage, python: str, host: str, port: int) -> list[str]:
    delays = ["--p50-ms", f"{stage.upstream.p50_ms:g}", "--p99-ms", f"{stage.upstream.p99_ms:g}"]
    place = ["--host", host, "--port", str(port)]
    return [python, "-m", "services.mock", *place, *delays, "--seed", str(MOCK_SEED)]
