"""Ctrl-C and SIGTERM, so that neither can be lost.

A signal's handler raises KeyboardInterrupt wherever the program is at the moment. Where that is a call from
compiled code, the exception may be printed as ignored and dropped, and the run would go on. So the handler
also remembers the signal, and loops that last long ask for it.
"""

from __future__ import annotations

import signal

_seen = False


def install() -> None:
    """Handle both signals; one that the shell has this process ignore stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    global _seen
    _seen = True
    raise KeyboardInterrupt


def check() -> None:
    """Raises KeyboardInterrupt if one of the signals has come, even if its own was dropped."""
    if _seen:
        raise KeyboardInterrupt
