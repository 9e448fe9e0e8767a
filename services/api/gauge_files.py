"""The files through which workers share their gauges: one per worker, removed with it.

This module has no metric, so that gunicorn's own process can import it without looking like a worker.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from prometheus_client import multiprocess

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_ASKED = "asked"


def worker_gone(pid: int) -> None:
    """Drop a dead worker's live gauges (gunicorn's ``child_exit``, and a worker's own shutdown)."""
    if os.environ.get(_FOLDER):
        with suppress(FileNotFoundError):  # another worker has removed it already
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def ask() -> None:
    """Make every worker publish its gauges soon: one of them was scraped, and answers for all."""
    (Path(os.environ[_FOLDER]) / _ASKED).touch()


def asked_at_ns() -> int:
    """When any worker last asked; 0 if none has."""
    try:
        return os.stat(f"{os.environ[_FOLDER]}/{_ASKED}").st_mtime_ns  # noqa: PTH116 - twenty times a second
    except FileNotFoundError:
        return 0


def forget_the_dead() -> None:
    """Drop the gauges of every killed worker: uvicorn's supervisor has no hook for that."""
    folder = Path(os.environ[_FOLDER])
    for pid in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*_*.db")}:
        if not _lives(pid):
            worker_gone(pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
