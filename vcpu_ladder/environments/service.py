"""How the service and the upstream of a stage are started: the same command in every environment."""

from __future__ import annotations

from vcpu_ladder.load import MOCK_SEED
from vcpu_ladder.resolve import ResolvedStage


def service_command(stage: ResolvedStage, python: str, host: str, port: int) -> list[str]:
    """Access logs are off in every stage: they cost, alike."""
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
