"""What all connections of the process share: the delays, the recorder, the pages, the sweeper's clock."""

import sys
import traceback
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, Protocol

from services.mock.pages import JSON, Page, Pages
from services.mock.recorder import Recorder
from services.mock.settings import Settings
from services.mock.timers import Timers

_STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class Parked(Protocol):
    """A connection, as the sweeper and the shutdown need it."""

    def expire(self) -> None: ...

    def abort(self) -> None: ...


class Shared:
    """One per process. `seconds` is a coarse clock that the sweeper advances, so that noting when a
    connection was last active costs an attribute access and not a system call."""

    __slots__ = (
        "connections",
        "date",
        "ok_head",
        "p50_ms",
        "pages",
        "prefix",
        "recorder",
        "seconds",
        "sigma",
        "timers",
    )

    def __init__(self, settings: Settings, timers: Timers) -> None:
        self.timers = timers
        self.p50_ms = settings.profile.p50_ms
        self.sigma = settings.profile.sigma
        self.prefix = b"%d:" % settings.seed
        self.recorder = Recorder()
        self.pages = Pages(settings, self.recorder)
        self.connections: set[Parked] = set()
        self.seconds = 0
        self.tick()

    def tick(self) -> None:
        """One second has passed: advance the clock and encode again what every answer starts with."""
        self.seconds += 1
        self.date = b"Date: %b\r\n" % formatdate(usegmt=True).encode()
        self.ok_head = b"%b%bContent-Type: %b\r\nContent-Length: " % (_STATUS_LINES[200], self.date, JSON)

    def defect(self, error: Exception) -> None:
        """Something of ours failed: report it on stderr, count it, and continue."""
        self.recorder.internal_errors += 1
        traceback.print_exception(error, file=sys.stderr)

    def encode(self, page: Page, connection: bytes, *, head_only: bool) -> bytes:
        """A whole response. `connection` is the Connection header's line, or empty."""
        return b"%b%bContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
            _STATUS_LINES[page.status],
            self.date,
            page.content_type,
            len(page.body),
            page.headers,
            connection,
            b"" if head_only else page.body,
        )
