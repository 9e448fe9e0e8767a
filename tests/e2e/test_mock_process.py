"""The mock as a process: it keeps the delays it was asked for, and starts and stops as its callers expect."""

import csv
import io
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import httpx
import pytest
from scipy import stats

from services.contract.delays import Profile, delay_ms

pytestmark = pytest.mark.e2e

# A median far above the timer error of a busy machine: the test is of the distribution, not of the timer.
PROFILE = Profile(p50_ms=50, p99_ms=200)
SEED = 11
REQUESTS = 1_200
_CLIENTS = 48


def start(*options: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOCK_")}
    return subprocess.Popen(
        [sys.executable, "-m", "services.mock", *options], stderr=subprocess.PIPE, text=True, env=environment
    )


def stop(process: subprocess.Popen[str]) -> str:
    """Kill what a failed test left running, and return what it said."""
    if process.poll() is None:
        process.kill()
    return process.communicate(timeout=10)[1]


def listening_port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    line = process.stderr.readline()
    match = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
    assert match, line
    return int(match[1])


@pytest.fixture
def mock() -> Iterator[tuple[subprocess.Popen[str], int]]:
    options = ("--p50-ms", str(PROFILE.p50_ms), "--p99-ms", str(PROFILE.p99_ms), "--seed", str(SEED))
    process = start("--port", "0", *options)
    try:
        yield process, listening_port(process)
    finally:
        stop(process)


def _send(port: int, keys: list[str]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    for key in keys:
        connection.request("GET", f"/?key={key}")
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.close()


def test_kept_delays_follow_the_lognormal_asked_for(mock: tuple[subprocess.Popen[str], int]) -> None:
    _, port = mock
    keys = [f"e2e:{n}" for n in range(REQUESTS)]
    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(lambda share: _send(port, share), (keys[n::_CLIENTS] for n in range(_CLIENTS))))

    base = f"http://127.0.0.1:{port}"
    log = httpx.get(f"{base}/log")
    rows = list(csv.DictReader(io.StringIO(log.text)))
    assert log.headers["x-dropped"] == "0"
    assert [row["seq"] for row in rows] == [str(n) for n in range(REQUESTS)]
    assert {row["key"] for row in rows} == set(keys)
    # This process computes the delays that the other one meant, from seed and key alone.
    for row in rows:
        assert float(row["intended_ms"]) == pytest.approx(delay_ms(PROFILE, row["key"], SEED), abs=0.0006)

    kept = [float(row["kept_ms"]) for row in rows]
    assert _p_value(kept, PROFILE.sigma) > 0.01
    assert _p_value(kept, PROFILE.sigma * 1.3) < 1e-3, "the check could not tell a wrong sigma"

    stats_page = httpx.get(f"{base}/stats").json()
    assert (stats_page["requests"], stats_page["completed"]) == (REQUESTS, REQUESTS)
    assert (stats_page["in_flight"], stats_page["internal_errors"]) == (0, 0)
    assert 1 < stats_page["in_flight_max"] <= _CLIENTS
    assert stats_page["timer_error_ms"]["n"] == REQUESTS


def _p_value(delays_ms: list[float], sigma: float) -> float:
    return float(stats.kstest(delays_ms, stats.lognorm(sigma, scale=PROFILE.p50_ms).cdf).pvalue)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drops_parked_requests_and_exits_0(
    mock: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    process, port = mock
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /?waitms=600000 HTTP/1.1\r\nHost: mock\r\n\r\n")
        _await_in_flight(port, 1)
        process.send_signal(number)
        assert process.wait(timeout=5) == 0
        assert client.recv(1) == b""
    assert process.stderr is not None
    assert process.stderr.read() == ""


def _await_in_flight(port: int, count: int) -> None:
    for _ in range(200):
        if httpx.get(f"http://127.0.0.1:{port}/stats").json()["in_flight"] == count:
            return
        threading.Event().wait(0.01)
    pytest.fail(f"in_flight never became {count}")


def test_a_client_that_times_out_is_counted_as_aborted(mock: tuple[subprocess.Popen[str], int]) -> None:
    _, port = mock
    base = f"http://127.0.0.1:{port}"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{base}/?waitms=60000", timeout=0.1)
    _await_in_flight(port, 0)
    assert httpx.get(f"{base}/stats").json()["aborted"] == 1


def test_rude_clients_leave_nothing_behind(mock: tuple[subprocess.Popen[str], int]) -> None:
    process, port = mock
    chance = random.Random(SEED)
    good = b"GET /?waitms=3 HTTP/1.1\r\nHost: mock\r\n\r\n"
    log = b"GET /log HTTP/1.1\r\nHost: mock\r\n\r\n"
    _send(port, [f"rude:{n}" for n in range(20)])  # so that /log has something to say
    for _ in range(300):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        data = b"".join(
            chance.choice([good, good * 100, log * 200, good[: chance.randrange(40)], chance.randbytes(30)])
            for _ in range(chance.randrange(4))
        )
        client.sendall(data)
        if chance.random() < 0.5:
            # Close by reset, as a killed client does; what the server wrote then fails in its hands.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    _await_in_flight(port, 0)
    assert httpx.get(f"http://127.0.0.1:{port}/stats").json()["internal_errors"] == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""  # nothing reached the loop's exception handler


@pytest.mark.parametrize(
    "options", [("--profile", "medium"), ("--p50-ms", "5"), ("--port", "http"), ("--nonsense",)]
)
def test_bad_settings_are_one_line_and_exit_2(options: tuple[str, ...]) -> None:
    process = start(*options)
    said = stop_after_exit(process)
    assert process.returncode == 2
    assert re.fullmatch(r"mock: invalid settings: .+\n", said)


def test_a_taken_port_is_one_line_and_exit_3(mock: tuple[subprocess.Popen[str], int]) -> None:
    _, port = mock
    process = start("--port", str(port))
    said = stop_after_exit(process)
    assert process.returncode == 3
    assert re.fullmatch(rf"mock: cannot listen on 127\.0\.0\.1:{port}: .+in use.*\n", said)


def stop_after_exit(process: subprocess.Popen[str]) -> str:
    try:
        process.wait(timeout=10)
    finally:
        said = stop(process)
    return said
