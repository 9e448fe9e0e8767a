"""A connection of the mock on a fake transport and a fake clock: no socket, no waiting."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, cast

import pytest

from services.contract.delays import Profile
from services.mock import connection, timers
from services.mock.connection import Connection
from services.mock.settings import Settings
from services.mock.shared import Shared

SETTINGS = Settings("127.0.0.1", 0, "custom", Profile(p50_ms=20, p99_ms=80), seed=7)


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeClock:
    """Virtual time, and the alarm that advances it: time passes only when the alarm rings."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._when_s = math.inf

    def alarm(self, ring: Callable[[], None]) -> "FakeClock":
        self._ring = ring
        return self

    def read(self) -> float:
        return self.now_s

    def set(self, when_s: float) -> None:
        self._when_s = when_s

    def fire_next(self) -> bool:
        if self._when_s == math.inf:
            return False
        self.now_s = max(self.now_s, self._when_s)
        self._ring()
        return True


class FakeTransport:
    """Records what is written; like uvloop's, it refuses use once closed."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.eof_written = self.closing = self.aborted = False

    def write(self, data: bytes) -> None:
        assert not self.closing, "written after close"
        assert not self.eof_written, "written after EOF"
        self.written += data

    def write_eof(self) -> None:
        assert not self.closing
        self.eof_written = True

    def pause_reading(self) -> None:
        assert self.reading
        assert not self.closing
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        assert not self.closing
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


class Peer:
    """The client's end of one connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Settings = SETTINGS) -> None:
        self.clock = FakeClock()
        for module in (connection, timers):
            monkeypatch.setattr(module, "monotonic", self.clock.read)
        self.shared = Shared(settings, timers.Timers(self.clock.alarm))
        self.open()

    def open(self) -> None:
        """Another connection to the same mock."""
        self.transport = FakeTransport()
        self.connection = Connection(self.shared)
        self.connection.connection_made(cast(Any, self.transport))

    def send(self, data: bytes) -> None:
        """Deliver input as a transport would: not while reading is paused, not after a close."""
        if self.transport.closing:
            return
        while not self.transport.reading and self.clock.fire_next():
            pass
        self.connection.data_received(data)

    def send_split(self, data: bytes, cuts: list[int]) -> None:
        edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        for start, end in pairwise(edges):
            if start < end:
                self.send(data[start:end])

    def settle(self) -> None:
        """Let every timer fire, and report a close."""
        while self.clock.fire_next():
            pass
        if self.transport.closing:
            self.connection.connection_lost(None)

    def ask(self, data: bytes, heads: tuple[int, ...] = ()) -> list[Response]:
        """Send, wait, and parse what came back; `heads` are the positions of answers to HEAD."""
        self.send(data)
        self.settle()
        return parse(self.transport.written, heads)


def request(method: str = "GET", target: str = "/", *fields: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: mock", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def parse(raw: bytes, heads: tuple[int, ...] = ()) -> list[Response]:
    """Every response of the stream, with `100 Continue` among them; fails on anything left over."""
    found: list[Response] = []
    final = 0
    while raw:
        head, separator, raw = raw.partition(b"\r\n\r\n")
        assert separator, f"unfinished head: {head!r}"
        status_line, *lines = head.decode("ascii").split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", "0"))
        if int(status) >= 200:
            length = 0 if final in heads else length
            final += 1
        assert len(raw) >= length, "unfinished body"
        found.append(Response(int(status), headers, raw[:length]))
        raw = raw[length:]
    return found
