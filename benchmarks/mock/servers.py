"""The two servers under comparison: built, started on one CPU, stopped."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GO_SOURCE = Path(__file__).with_name("go_twin.go")
_TOOLS = {"go": "golang-go", "wrk": "wrk", "taskset": "util-linux"}  # by Debian package
_SLOW = ("--p50-ms", "4000", "--p99-ms", "22000")


class NotReadyError(RuntimeError):
    """Something the benchmark needs is missing; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """How to start one: its command listens on a free loopback port and reports the port on stderr."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    pid: int


def build_servers(directory: Path) -> tuple[Server, Server]:
    """(mock, Go twin), the twin compiled into `directory`. Raises NotReadyError."""
    missing = [package for tool, package in _TOOLS.items() if not shutil.which(tool)]
    if missing:
        raise NotReadyError(f"missing {' and '.join(missing)}: apt-get install -y {' '.join(missing)}")
    binary = directory / "go_twin"
    built = subprocess.run(
        ["go", "build", "-o", str(binary), str(GO_SOURCE)],
        env={**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise NotReadyError(f"the Go twin does not build: {built.stderr.strip().splitlines()[-1:]}")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MOCK_")}
    return (
        Server("mock", (sys.executable, "-m", "services.mock", "--port", "0", *_SLOW), clean),
        Server("go", (str(binary), *_SLOW), {**clean, "GOMAXPROCS": "1"}),
    )


def pinned(command: tuple[str, ...], cpu: int) -> list[str]:
    """`command` on one CPU, by taskset: affinity set after the start would miss the Go runtime's threads."""
    return ["taskset", "--cpu-list", str(cpu), *command]


@contextmanager
def running(server: Server, cpu: int) -> Iterator[Running]:
    """A fresh process of the server on `cpu`; gone afterwards. Raises NotReadyError if it does not start."""
    with subprocess.Popen(
        pinned(server.command, cpu), env=server.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            match = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
            if match is None:
                raise NotReadyError(f"{server.name} did not start: {line.strip() or 'it said nothing'}")
            yield Running(int(match[1]), process.pid)
        finally:
            process.kill()
