"""From bytes to requests: HTTP/1.1 parsing by llhttp (httptools), with the bounds that it does not check."""

import asyncio
from typing import Final, Never

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from services.mock.shared import Shared

MAX_TARGET_BYTES: Final = 8_192
MAX_HEADER_BYTES: Final = 16_384
MAX_BODY_BYTES: Final = 1 << 20
MAX_PIPELINED: Final = 64
"""Requests that may wait behind the one in service before parsing stops; one slice may exceed it."""

# llhttp cannot be paused through httptools, so input is fed in slices: parsing can stop between two
# slices when the pipeline has become too deep.
SLICE_BYTES: Final = 4_096
# Bound on input that neither ends a message nor adds to its body. It covers what no callback reports,
# such as an endless header line, trailer or chunk extension.
_MAX_FRAMING_BYTES: Final = MAX_TARGET_BYTES + MAX_HEADER_BYTES + SLICE_BYTES


class _RefusedError(Exception):
    """Raised in a parser callback to stop parsing; the status is in `_refusal`."""


class RequestReader(asyncio.Protocol):
    """The reading half of a connection; the other half overrides `_take`, `_expect_continue`, `_advance`."""

    __slots__ = (
        "_body_bytes",
        "_chunked",
        "_completed",
        "_content_length",
        "_expects",
        "_framing",
        "_framing_bytes",
        "_head_done",
        "_header_bytes",
        "_hosts",
        "_http10",
        "_keep_alive",
        "_parser",
        "_reading",
        "_refusal",
        "_shared",
        "_since",
        "_target",
        "_unfinished",
        "_unparsed",
        "_upgrades",
        "_waiting",
    )

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._parser = HttpRequestParser(self)
        self._reading = True  # False once no further request can follow: the rest is discarded
        self._unparsed = b""  # input held back until the pipeline is shorter
        self._waiting: list[tuple[bytes, bytes, bool, bool, int]] = []  # arguments for _serve, in order
        self._since = shared.seconds  # when the connection became idle, or its unfinished message began
        self._unfinished = False  # a message has begun and not ended
        self._framing_bytes = 0  # since the last message or piece of a body, counted by slices
        self._completed = False  # a message ended within the slice being fed
        self._framing = b""  # the body framing of a message that llhttp treats as an upgrade
        self._refusal = 0  # the error status of the message being read; 0: none so far
        self._keep_alive = self._http10 = False
        self._begin_message()

    def _begin_message(self) -> None:
        self._target = b""
        self._header_bytes = 0
        self._body_bytes = 0
        self._content_length = 0
        self._hosts = 0
        self._chunked = self._expects = self._upgrades = self._head_done = False

    def _take(self, method: bytes, target: bytes, keep_alive: bool, http10: bool, refusal: int) -> None:
        """A request is complete: serve it now or in its turn. `refusal` is a status, or 0."""
        raise NotImplementedError

    def _expect_continue(self) -> None:
        """The client waits for `100 Continue` before it sends the body."""
        raise NotImplementedError

    def _advance(self) -> None:
        """Continue with waiting requests, then with unparsed input."""
        raise NotImplementedError

    # --- input ---

    def data_received(self, data: bytes) -> None:
        if not self._reading:
            return
        if self._unparsed or len(data) > SLICE_BYTES:
            self._unparsed += data
        else:
            self._feed(data)
        if self._unparsed or self._waiting:
            self._advance()

    def _feed(self, piece: bytes) -> None:
        """Parse one slice. Raises nothing: what cannot be parsed becomes a refusal in its turn."""
        self._completed = False
        body_bytes = self._body_bytes
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade as upgrade:
            # Ignored, as RFC 9110 (7.8) allows: what follows is the body or the next request.
            self._unparsed = piece[upgrade.args[0] :] + self._unparsed
            self._restart_after_upgrade()
        except Exception as error:  # httptools wraps what a callback raises
            if self._reading:  # else an answer sent meanwhile has ended the connection
                self._end_input(self._status_of(error))
            return
        if self._completed:
            self._unfinished = False
            self._framing_bytes = 0
            return
        if not self._unfinished:
            self._unfinished = True
            self._since = self._shared.seconds
        self._framing_bytes = self._framing_bytes + len(piece) if self._body_bytes == body_bytes else 0
        if self._reading and self._framing_bytes > _MAX_FRAMING_BYTES:
            self._end_input(431)

    def _status_of(self, error: Exception) -> int:
        """The status for what stopped the parser: ours, 400 for malformed input, 500 for a defect."""
        if self._refusal:
            return self._refusal
        cause = error.__context__ if isinstance(error, HttpParserCallbackError) else error
        if isinstance(cause, HttpParserError):
            return 400
        self._shared.defect(error)
        return 500

    def _end_input(self, status: int) -> None:
        self._reading = False
        self._unparsed = b""
        self._take(b"", b"", False, False, status)

    def _restart_after_upgrade(self) -> None:
        """Parse the body of a message with an Upgrade header as a body.

        httptools tells llhttp that an upgrade has no body, so the body would be read as the next request.
        Instead a new parser gets a head with the same framing, and the values of the real head are kept.
        """
        framing, self._framing = self._framing, b""
        if not framing:
            return
        kept = self._target, self._keep_alive, self._http10, self._refusal
        self._expects = self._upgrades = False
        method = self._parser.get_method()
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(b"%b / HTTP/1.1\r\nHost: -\r\n%b\r\n" % (method, framing))
        self._target, self._keep_alive, self._http10, self._refusal = kept

    # --- parser callbacks ---

    def _refuse(self, status: int) -> Never:
        self._refusal = status
        raise _RefusedError

    def on_url(self, url: bytes) -> None:
        if not self._target and len(url) <= MAX_TARGET_BYTES:
            self._target = url
            return
        self._target += url
        if len(self._target) > MAX_TARGET_BYTES:
            self._refuse(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Headers and, after the body, trailers. Names are compared by length first, which is cheaper."""
        length = len(name)
        self._header_bytes += length + len(value) + 4
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(431)
        if length == 4:
            if name.lower() == b"host":
                self._hosts += 1
        elif length == 6:
            if name.lower() == b"expect":
                self._expects = value.lower() == b"100-continue"
        elif length == 7:
            if name.lower() == b"upgrade":
                self._upgrades = True
        elif length == 14:
            if name.lower() == b"content-length" and not self._head_done:
                self._content_length = int(value)  # digits only: llhttp has refused anything else
        elif length == 17 and name.lower() == b"transfer-encoding":
            self._chunked = True

    def on_headers_complete(self) -> None:
        self._head_done = True
        parser = self._parser
        self._keep_alive = parser.should_keep_alive()
        version = parser.get_http_version()
        self._http10 = version == "1.0"
        if version == "1.1":
            if self._hosts != 1:
                self._refusal = 400  # RFC 9112 (3.2); the framing is sound, so the connection may stay
        elif version != "1.0":
            self._refuse(505)
        if self._content_length > MAX_BODY_BYTES:
            self._refuse(413)
        if self._content_length or self._chunked:
            self._body_follows(version)

    def _body_follows(self, version: str) -> None:
        if self._upgrades and self._parser.should_upgrade():
            self._framing = (
                b"Transfer-Encoding: chunked\r\n"
                if self._chunked
                else b"Content-Length: %d\r\n" % self._content_length
            )
        if self._expects and version == "1.1":
            self._expect_continue()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413)

    def on_message_complete(self) -> None:
        if self._framing:
            return  # llhttp skipped the body: _restart_after_upgrade has it parsed
        self._completed = True
        target, refusal, keep_alive = self._target, self._refusal, self._keep_alive
        self._refusal = 0
        self._begin_message()
        self._take(self._parser.get_method(), target, keep_alive, self._http10, refusal)
