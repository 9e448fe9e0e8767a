"""One client connection: requests served one after another, each parked on a timer."""

import asyncio
import json
from http import HTTPStatus
from time import monotonic
from typing import Final, cast

from services.contract.delays import keyed, random_delay_ms
from services.mock.pages import JSON, Page
from services.mock.reader import MAX_PIPELINED, SLICE_BYTES, RequestReader
from services.mock.shared import Shared
from services.mock.targets import BadTargetError, parse_plain, parse_query, split

IDLE_TIMEOUT_S: Final = 120
"""Longer than clients keep an idle connection (Go and so k6: 90 s): closing first would race a request."""
READ_TIMEOUT_S: Final = 30
"""For the whole of one request, so that sending headers or a body slowly does not extend it."""
LINGER_S: Final = 2
"""How long input is discarded after a refusal, so that the client can read the refusal before the reset."""

_DELAY_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST"})
_ALLOW_DELAY: Final = "GET, HEAD, POST"
_REASONS: Final = {
    400: "the request is not well-formed HTTP/1.1",
    413: "the body is larger than 1 MiB",
    414: "the request target is longer than 8 KiB",
    431: "the header or trailer fields are larger than 16 KiB",
    505: "the HTTP version is neither 1.0 nor 1.1",
}


class Connection(RequestReader):
    """The answering half. As with Go's net/http, a pipelined request's delay starts when its turn comes."""

    __slots__ = (
        "_arrived_ms",
        "_continue_due",
        "_factor",
        "_head_only",
        "_intended_ms",
        "_key",
        "_lingering",
        "_parked",
        "_paused",
        "_sequence",
        "_serving_http10",
        "_stays",
        "_transport",
        "_write_blocked",
    )

    _transport: asyncio.Transport

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._parked = False
        self._key: bytes | None = None
        self._paused = self._write_blocked = self._continue_due = self._lingering = False

    # --- transport callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport behaves like one
        self._shared.connections.add(self)

    def eof_received(self) -> None:
        """The client has left, or has only closed its sending side: the two look alike on the wire, and
        clients that time out are the case that matters here. Returning None closes the transport."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — the base class names it
        self._leave()
        self._shared.connections.discard(self)
        # The parser holds our bound methods: without this, freeing a connection would need the garbage
        # collector, which does not run while requests are parked.
        del self._parser

    def _leave(self) -> None:
        self._stop_reading()
        if self._parked:
            self._parked = False
            self._shared.timers.cancel(self._sequence)
            self._shared.recorder.aborted(self._sequence)

    def pause_writing(self) -> None:
        self._write_blocked = True

    def resume_writing(self) -> None:
        self._write_blocked = False
        self._advance()

    def expire(self) -> None:
        """Called by the sweeper: drop the connection if it is idle, unfinished or stuck for too long."""
        if self._parked:
            return
        unfinished = self._unfinished or self._target
        limit_s = LINGER_S if self._lingering else READ_TIMEOUT_S if unfinished else IDLE_TIMEOUT_S
        if self._shared.seconds - self._since > limit_s:
            self._transport.abort()

    def abort(self) -> None:
        """Drop the connection and any request parked on it."""
        self._transport.abort()

    # --- turns ---

    def _take(self, method: bytes, target: bytes, keep_alive: bool, http10: bool, refusal: int) -> None:
        self._continue_due = False
        if not self._parked and not self._waiting and not self._write_blocked:
            self._serve(method, target, keep_alive, http10, refusal)
        else:
            self._waiting.append((method, target, keep_alive, http10, refusal))

    def _expect_continue(self) -> None:
        if not self._parked and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            self._continue_due = True  # only after the answers that come before it

    def _advance(self) -> None:
        while not self._transport.is_closing():
            while self._waiting and not self._parked and not self._write_blocked:
                self._serve(*self._waiting.pop(0))
            if not self._unparsed or len(self._waiting) >= MAX_PIPELINED:
                break
            piece, self._unparsed = self._unparsed[:SLICE_BYTES], self._unparsed[SLICE_BYTES:]
            self._feed(piece)
            if not self._reading:
                self._unparsed = b""
        if self._transport.is_closing():
            return
        if self._continue_due and not self._parked and not self._waiting:
            self._continue_due = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._set_paused(self._reading and len(self._waiting) >= MAX_PIPELINED)

    def _set_paused(self, paused: bool) -> None:
        if paused is self._paused or self._transport.is_closing():
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # --- serving ---

    def _serve(self, method: bytes, target: bytes, keep_alive: bool, http10: bool, refusal: int) -> None:
        """Answer now, or park. Raises nothing: our own defects must not reach the event loop."""
        self._head_only = method == b"HEAD"
        self._stays = keep_alive
        self._serving_http10 = http10
        try:
            if refusal:
                self._error(refusal, _REASONS.get(refusal, HTTPStatus(refusal).phrase))
                return
            delay = parse_plain(target)
            if delay is None:
                self._serve_page(method, target)
            elif method in _DELAY_METHODS:
                self._park(delay.wait_ms, delay.key)
            else:
                self._error(405, f"use {_ALLOW_DELAY}", _ALLOW_DELAY)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._shared.defect(error)
        self._stop_reading()
        self._transport.abort()

    def _serve_page(self, method: bytes, target: bytes) -> None:
        """All targets but the usual spellings of `/`."""
        try:
            path, query = split(target)
            if path == "/":
                if method not in _DELAY_METHODS:
                    self._error(405, f"use {_ALLOW_DELAY}", _ALLOW_DELAY)
                    return
                delay = parse_query(query)
                self._park(delay.wait_ms, delay.key)
                return
        except BadTargetError as error:
            self._error(400, str(error))
            return
        page = self._shared.pages.find(path, method)
        if page is None:
            self._error(404, "the paths are /, /healthz, /stats, /log, /metrics and /reset")
        elif isinstance(page, str):
            self._error(405, f"use {page}", page)
        else:
            self._send(page())

    def _park(self, wait_ms: int | None, key: bytes | None) -> None:
        shared = self._shared
        self._factor = 1.0
        if key is not None:
            intended_ms, self._factor = keyed(shared.p50_ms, shared.sigma, shared.prefix, key)
        elif wait_ms is None:
            intended_ms = random_delay_ms(shared.p50_ms, shared.sigma)
        if wait_ms is not None:
            intended_ms = float(wait_ms)
        self._key = key
        self._intended_ms = intended_ms
        self._arrived_ms = now_ms = monotonic() * 1000
        self._sequence = shared.recorder.arrived(key, intended_ms)
        if wait_ms == 0:
            self._answer()
        else:
            self._parked = True
            shared.timers.start(self._sequence, (now_ms + intended_ms) / 1000, self)

    def wake(self) -> None:
        """The delay is over."""
        self._parked = False
        if self._transport.is_closing():
            self._shared.recorder.aborted(self._sequence)
            return
        try:
            self._answer()
        except Exception as error:
            self._fail(error)
            return
        if self._waiting or self._unparsed or self._continue_due:
            self._advance()

    def _answer(self) -> None:
        shared = self._shared
        intended_ms = self._intended_ms
        shared.recorder.completed(self._sequence, intended_ms, monotonic() * 1000 - self._arrived_ms)
        # Formatted here: json.dumps would be a tenth of a request's cost. Keys contain nothing to escape.
        if self._key is None:
            body = b'{"key":null,"delay_ms":%.3f,"factor":%.4f}' % (intended_ms, self._factor)
        else:
            body = b'{"key":"%b","delay_ms":%.3f,"factor":%.4f}' % (self._key, intended_ms, self._factor)
        if self._stays and not self._serving_http10 and not self._head_only:
            self._transport.write(b"%b%d\r\n\r\n%b" % (shared.ok_head, len(body), body))
            self._since = shared.seconds
        else:
            self._send(Page(200, JSON, body))

    def _error(self, status: int, reason: str, allow: str = "") -> None:
        self._shared.recorder.bad_requests += 1
        headers = b"Allow: %b\r\n" % allow.encode() if allow else b""
        # The client may still be sending when a refusal ends the connection.
        self._send(Page(status, JSON, json.dumps({"error": reason}).encode(), headers), linger=True)

    def _send(self, page: Page, *, linger: bool = False) -> None:
        if not self._stays:
            connection = b"Connection: close\r\n"
        else:
            connection = b"Connection: keep-alive\r\n" if self._serving_http10 else b""
        self._transport.write(self._shared.encode(page, connection, head_only=self._head_only))
        self._since = self._shared.seconds
        if not self._stays:
            self._end(linger=linger)

    def _end(self, *, linger: bool) -> None:
        self._stop_reading()
        if linger:
            self._lingering = True
            self._transport.write_eof()
            self._set_paused(False)
        else:
            self._transport.close()

    def _stop_reading(self) -> None:
        """Serve no further request: drop those that wait, discard what arrives."""
        self._reading = False
        self._unparsed = b""
        self._waiting.clear()
