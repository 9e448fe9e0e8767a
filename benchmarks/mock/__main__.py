"""`python -m benchmarks.mock [--json PATH]`: the mock against its Go twin, in about two minutes.

Exits 0 when the targets hold, 3 when something is missing, 4 when a target is missed or a run is invalid.
"""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import typer

from benchmarks.mock.measure import InvalidRunError, Runs, measure_all
from benchmarks.mock.servers import NotReadyError

LEAST_RPS_RATIO: Final = 1.0
MOST_MEMORY_RATIO: Final = 0.3
MOST_TIMER_P99_MS: Final = 3.0
_QUIET_LOAD: Final = 0.5


def summarize(runs: dict[str, Runs]) -> dict[str, float]:
    """The three figures with a target. `timer_p99_ms` is the worse of the server's and the client's."""
    mock, go = runs["mock"], runs["go"]
    timer = (_median(mock, f"{side}_timer_error_p99_ms") for side in ("server", "client"))
    return {
        "rps_ratio": median(mock.rps) / median(go.rps),
        "memory_ratio": _median(mock, "bytes_per_parked_request") / _median(go, "bytes_per_parked_request"),
        "timer_p99_ms": max(timer),
    }


def holds(summary: dict[str, float]) -> bool:
    return (
        summary["rps_ratio"] >= LEAST_RPS_RATIO
        and summary["memory_ratio"] <= MOST_MEMORY_RATIO
        and summary["timer_p99_ms"] <= MOST_TIMER_P99_MS
    )


def verdict(summary: dict[str, float]) -> str:
    """The last line of the output, which other tools read."""
    return "mock_vs_go " + " ".join(f"{name}={value:.2f}" for name, value in summary.items())


def table(runs: dict[str, Runs]) -> str:
    """Medians over the rounds, with the range of the throughput."""
    lines = [
        f"{'':5} {'RPS (lowest to highest)':>30} {'KiB a parked request':>21} "
        f"{'timer error p50 / p99, client':>30} {'server':>15}"
    ]
    for name, run in runs.items():
        rps = f"{median(run.rps):,.0f} ({min(run.rps):,.0f} to {max(run.rps):,.0f})"
        client, server = (_timer_error(run, side) for side in ("client", "server"))
        memory = _median(run, "bytes_per_parked_request") / 1024
        lines.append(f"{name:5} {rps:>30} {memory:>21.2f} {client:>30} {server:>15}")
    return "\n".join(lines)


def _timer_error(run: Runs, side: str) -> str:
    """Median p50 and p99 in ms; a dash if that side does not measure (the Go twin keeps no statistics)."""
    p50, p99 = (f"{side}_timer_error_{quantile}_ms" for quantile in ("p50", "p99"))
    if p50 not in run.parked[0]:
        return "-"
    return f"{_median(run, p50):.2f} / {_median(run, p99):.2f} ms"


def machine() -> dict[str, str | int | float | None]:
    """What the figures depend on."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu_model": model[1] if model else None,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": importlib.metadata.version("uvloop"),
        "httptools": importlib.metadata.version("httptools"),
        "go": _first_line("go", "version"),
        "wrk": _first_line("wrk", "-v"),
    }


def _first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[0]


def _median(run: Runs, figure: str) -> float:
    return median(parked[figure] for parked in run.parked)


def main(
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write every figure and the machine's facts here.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed for the order of the runs.")] = 1,
) -> None:
    """Compare throughput, memory and timer error of the mock and its Go twin, one CPU each."""
    load_before = os.getloadavg()[0]
    if load_before > _QUIET_LOAD:
        print(f"bench-mock: warning: other work runs here (load {load_before:.1f})", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory() as directory:
            runs = measure_all(Path(directory), seed)
    except NotReadyError as error:
        print(f"bench-mock: {error}", file=sys.stderr)
        raise typer.Exit(3) from None
    except InvalidRunError as error:
        print(f"bench-mock: invalid: {error}", file=sys.stderr)
        raise typer.Exit(4) from None
    summary = summarize(runs)
    if json_path is not None:
        figures = {
            "summary": summary,
            "machine": machine() | {"load_1m_before": load_before},
            "runs": {name: asdict(run) for name, run in runs.items()},
        }
        json_path.write_text(json.dumps(figures, indent=2) + "\n")
    print(table(runs))
    print(verdict(summary))
    if not holds(summary):
        raise typer.Exit(4)


if __name__ == "__main__":
    typer.run(main)
