"""One run of each kind, and all of them interleaved."""

import json
import os
import random
import re
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.mock.park import CONNECTIONS
from benchmarks.mock.servers import NotReadyError, Server, build_servers, pinned, running

ROUNDS: Final = 3
WARM_S: Final = 1
WRK_S: Final = 4
WRK_CONNECTIONS: Final = 128
_SPARE_FILES: Final = 200
_LOAD_TIMEOUT_S: Final = 60


class InvalidRunError(RuntimeError):
    """A run that does not count; the message says why."""


@dataclass(slots=True)
class Runs:
    """The measurements of one server, a figure per round."""

    rps: list[float] = field(default_factory=list)
    parked: list[dict[str, float]] = field(default_factory=list)


def measure_all(directory: Path, seed: int) -> dict[str, Runs]:
    """All rounds of both servers, in a random order within each round. Raises NotReadyError, InvalidRunError.

    Server and load have a CPU each. Every run is a fresh process on a fresh port.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise NotReadyError("needs two CPUs, one for the server and one for the load")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CONNECTIONS + _SPARE_FILES:
        raise NotReadyError(
            f"needs {CONNECTIONS + _SPARE_FILES} open files: raise the hard limit (ulimit -Hn)"
        )
    load_cpu, server_cpu = cpus[:2]
    servers = build_servers(directory)
    runs = {server.name: Runs() for server in servers}
    order = random.Random(seed)
    for number in range(ROUNDS):
        for server in order.sample(servers, len(servers)):
            print(f"round {number + 1}/{ROUNDS}: {server.name}", file=sys.stderr, flush=True)
            runs[server.name].rps.append(_throughput(server, server_cpu, load_cpu))
            runs[server.name].parked.append(_park(server, server_cpu, load_cpu))
    return runs


def _throughput(server: Server, server_cpu: int, load_cpu: int) -> float:
    """Requests per second at a delay of 1 ms, measured by wrk."""
    with running(server, server_cpu) as process:
        url = f"http://127.0.0.1:{process.port}/?waitms=1"
        for seconds in (WARM_S, WRK_S):
            command = ("wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{seconds}s", url)
            said = _run(command, load_cpu, server)
    match = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if match is None or "Non-2xx" in said or "Socket errors" in said:
        raise InvalidRunError(f"wrk against {server.name}: {' | '.join(said.splitlines())}")
    return float(match[1])


def _park(server: Server, server_cpu: int, load_cpu: int) -> dict[str, float]:
    """Memory and timer error with 5,000 requests parked."""
    with running(server, server_cpu) as process:
        command = (sys.executable, "-m", "benchmarks.mock.park", str(process.port), str(process.pid))
        figures: dict[str, float] = json.loads(_run(command, load_cpu, server))
    if figures["least_parked"] < CONNECTIONS or figures["lost_connections"]:
        raise InvalidRunError(f"{server.name} did not hold {CONNECTIONS} parked requests: {figures}")
    return figures


def _run(command: tuple[str, ...], cpu: int, server: Server) -> str:
    """Standard output of a load generator on `cpu`. Raises InvalidRunError when it fails or hangs."""
    try:
        return subprocess.run(
            pinned(command, cpu), capture_output=True, text=True, check=True, timeout=_LOAD_TIMEOUT_S
        ).stdout
    except subprocess.TimeoutExpired:
        raise InvalidRunError(f"{command[0]} against {server.name} took over {_LOAD_TIMEOUT_S} s") from None
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines()[-1:]
        raise InvalidRunError(f"{command[0]} against {server.name} failed: {said}") from None
