"""Turn a server's failure into an error that a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres.server import Server


@contextmanager
def in_clear_words(server: Server, doing: str) -> Iterator[None]:
    """Turn a full disk, or a server that ended, into EnvironmentNotReady with the server's last output.

    ``doing`` completes "… while": ``seeding (scale 1, seed 1, spread)``.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        words = f"{str(error).strip()}\n{server.log_tail()}".strip()
        # When the WAL cannot be written the server ends, and only its log says why.
        if isinstance(error, psycopg.errors.DiskFull) or "No space left on device" in words:
            raise EnvironmentNotReady(
                f"the disk is full while {doing}; what was half made is never used",
                words,
                "free disk space, or choose a smaller --scale, then start again",
            ) from error
        raise EnvironmentNotReady(
            f"the server ended a session while {doing}; what was half made is never used",
            words,
            "start again",
        ) from error
