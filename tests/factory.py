"""Records for tests, made like the runner's: one call, naming only the differences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vcpu_ladder import paths
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import ResolvedStage, resolve
from vcpu_ladder.records.limits import limit_of
from vcpu_ladder.records.record import Figures, Latency, RunRecord

MAIN = paths.LADDERS / "main.toml"
POSTGRES = paths.LADDERS / "postgres.toml"


def stage(name: str = "v2", path: Path = MAIN, **load: Any) -> ResolvedStage:
    ladder = load_ladder(path)
    return resolve(ladder, name, replace(ladder.load, **load))


def latency(n: int = 5000, scale: float = 1.0) -> Latency:
    return Latency(
        n=n,
        mean_ms=50 * scale,
        min_ms=2 * scale,
        p50_ms=40 * scale,
        p90_ms=80 * scale,
        p95_ms=100 * scale,
        p99_ms=200 * scale,
        max_ms=400 * scale,
    )


def figures(rps: float = 300.0, failed: int = 0, n: int | None = None, **changes: Any) -> Figures:
    completed = round(rps * 30) if n is None else n
    return Figures(
        **{
            "rps": rps,
            "measure_s": 30.0,
            "completed": completed,
            "failed": failed,
            "wrong_bodies": 0,
            "dropped": 0,
            "error_ratio": failed / max(1, completed + failed),
            "failures": {"503": failed},
            "latency": latency(completed) if completed else None,
            "latency_by_endpoint": {"light_read": latency(completed)} if completed else {},
            **changes,
        }
    )


def record(
    name: str = "v2",
    rps: float = 300.0,
    repeat: int = 0,
    climb: str = "c1",
    path: Path = MAIN,
    **changes: Any,
) -> RunRecord:
    resolved = stage(name, path)
    made = RunRecord(
        **{
            "run_id": f"20260101T0000{repeat:02d}-{name}-{climb}",
            "climb_id": climb,
            "repeat": repeat,
            "ladder": resolved.ladder,
            "stage": name,
            "position": resolved.position,
            "title": resolved.title,
            "parent": resolved.parent,
            "change": str(resolved.change) if resolved.change else None,
            "published_rps": resolved.published.rps if resolved.published else None,
            "published_source": resolved.published.source if resolved.published else None,
            "published_others": dict(resolved.published.others) if resolved.published else {},
            "fingerprint": resolved.fingerprint,
            "load_fingerprint": resolved.load_fingerprint,
            "knobs": dict(resolved.knobs),
            "upstream_profile": {"p50_ms": 200.0, "p99_ms": 1000.0},
            "load": resolved.load.recorded(1 + repeat),
            "rows": resolved.scale.rows,
            "environment": {"kind": "native", "pinned": True, "budget": "affinity"},
            "machine": {"host": "aaaaaaaaaaaa"},
            "source": {"workload": "bbbbbbbbbbbb"},
            "started_at": f"2026-01-01T00:00:{repeat:02d}.000+00:00",
            "ended_at": f"2026-01-01T00:01:{repeat:02d}.000+00:00",
            "phases_s": {"load": 45.0},
            "status": "ok",
            "figures": figures(rps),
            "samples": {"service_cpu_ratio": 0.98, "threads_alive": 1.0, "threads_created": 2.0},
            **changes,
        }
    )
    return made if "limit" in changes else made.model_copy(update={"limit": limit_of(made)})


def golden(path: Path, text: str, update: bool) -> None:
    """Compare with a file of tests/golden, or rewrite it with --update-golden."""
    if update:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"differs from {path.name}: run pytest --update-golden and look"
    )
