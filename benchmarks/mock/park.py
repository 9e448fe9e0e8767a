"""The load of the memory and timer runs: 5,000 connections, each with a request parked at all times.

Runs as a process of its own (`python -m benchmarks.mock.park PORT PID`), pinned away from the server, and
prints one JSON object. Memory per parked request is

    (median RSS of the server while all are parked - its RSS before the first connection) / connections

so it includes the connection as well as the request: a parked request needs one, and leaving it out would
hide what Go spends on each connection's goroutine and buffers.
"""

import asyncio
import gc
import json
import re
import resource
import statistics
import sys
from functools import partial
from time import monotonic
from typing import Final, cast

import numpy as np
import psutil
import uvloop

CONNECTIONS: Final = 5_000
RAMP_S: Final = 2.5
MEASURE_S: Final = 10.0
_CONNECT_AT_ONCE: Final = 200
_RSS_EVERY_S: Final = 0.5
_ANSWER: Final = re.compile(rb'"delay_ms":([0-9.]+),"factor":[0-9.]+}$')


class Load:
    """What the connections share: the delays as this client sees them, and whether they count yet."""

    def __init__(self) -> None:
        self.errors_ms: list[float] = []
        self.parked = 0
        self.least_parked = CONNECTIONS
        self.measuring = False
        self.lost = 0


class Caller(asyncio.Protocol):
    """One connection that sends its next request as soon as it is answered."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._number = number
        self._asked = 0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — the base class names it
        self._load.lost += 1

    def ask(self) -> None:
        self._asked += 1
        self._load.parked += 1
        self._sent_s = monotonic()
        self._transport.write(
            b"GET /?key=%d-%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (self._number, self._asked)
        )

    def data_received(self, data: bytes) -> None:
        self._received += data
        answer = _ANSWER.search(self._received)
        if answer is None:
            return
        load = self._load
        load.parked -= 1
        if load.measuring:
            load.errors_ms.append((monotonic() - self._sent_s) * 1000 - float(answer[1]))
            load.least_parked = min(load.least_parked, load.parked + 1)  # the next request follows at once
        self._received = b""
        self.ask()


async def _open(load: Load, port: int) -> list[Caller]:
    loop = asyncio.get_running_loop()
    callers: list[Caller] = []
    for start in range(0, CONNECTIONS, _CONNECT_AT_ONCE):
        factories = (partial(Caller, load, start + number) for number in range(_CONNECT_AT_ONCE))
        opened = await asyncio.gather(*(loop.create_connection(f, "127.0.0.1", port) for f in factories))
        callers += (caller for _, caller in opened)
    return callers


async def measure(port: int, pid: int) -> dict[str, float | int]:
    """Run the load. Memory in bytes, timer errors (as this client sees them) in ms."""
    server = psutil.Process(pid)
    load = Load()
    before = server.memory_info().rss
    callers = await _open(load, port)
    connected = server.memory_info().rss
    gc.disable()  # a garbage collection over 5,000 objects here would look like a late server
    loop = asyncio.get_running_loop()
    for number, caller in enumerate(callers):
        loop.call_later(RAMP_S * number / CONNECTIONS, caller.ask)
    await asyncio.sleep(RAMP_S + 0.5)
    load.measuring = True
    sizes = []
    end_s = monotonic() + MEASURE_S
    while monotonic() < end_s:
        await asyncio.sleep(_RSS_EVERY_S)
        sizes.append(server.memory_info().rss)
    load.measuring = False
    p50, p99, highest = np.quantile(load.errors_ms, (0.5, 0.99, 1.0))
    parked = statistics.median(sizes)
    return {
        "rss_before_bytes": before,
        "rss_connected_bytes": connected,
        "rss_parked_bytes": int(parked),
        "bytes_per_parked_request": (parked - before) / CONNECTIONS,
        "least_parked": load.least_parked,
        "lost_connections": load.lost,
        "answers": len(load.errors_ms),
        "client_timer_error_p50_ms": float(p50),
        "client_timer_error_p99_ms": float(p99),
        "client_timer_error_max_ms": float(highest),
        **await _server_stats(port),
    }


async def _server_stats(port: int) -> dict[str, float | int]:
    """The server's own figures, read while all requests are still parked; empty for the Go twin."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /stats HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    if not head.startswith(b"HTTP/1.1 200"):
        return {}
    stats = json.loads(body)
    error = stats["timer_error_ms"]
    return {
        "server_in_flight": stats["in_flight"],
        "server_timer_error_p50_ms": error["p50"],
        "server_timer_error_p99_ms": error["p99"],
        "server_timer_error_max_ms": error["max"],
        "server_internal_errors": stats["internal_errors"],
    }


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(int(sys.argv[1]), int(sys.argv[2])))))


if __name__ == "__main__":
    main()
