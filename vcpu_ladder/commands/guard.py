"""One run at a time on this machine, and nothing left behind by a runner that was killed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from vcpu_ladder.environments.native.processes import end_strays, strays
from vcpu_ladder.errors import EnvironmentNotReady, not_writable
from vcpu_ladder.records.store import MARKER, now, parse_record, save, unfinished


def lock_path() -> Path:
    """One lock per user and machine, not per checkout: two checkouts would disturb each other's figures."""
    # Not TMPDIR: two shells may set it differently, and each would then hold its own lock.
    return Path("/tmp") / f"vcpu-ladder-{os.getuid()}.lock"


def _open_lock() -> TextIO:
    try:
        return lock_path().open("a+")
    except OSError as error:
        raise not_writable(lock_path(), error) from None


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the machine for one command. Raises EnvironmentNotReady while another holds it."""
    import fcntl  # imported here: Windows lacks it, and must still be able to read records

    with _open_lock() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise EnvironmentNotReady(
                f"another run is under way ({holder}); two at once would measure each other",
                next_command="wait for it, or end it with Ctrl-C in its terminal",
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def clean_up(results: Path) -> list[str]:
    """Under the lock: end the processes of a killed runner and write its record. Returns a line for each."""
    lines = []
    left = strays()
    if left:
        end_strays(left)
        names = ", ".join(str(process.pid) for process in left)
        lines.append(f"ended {len(left)} process(es) that a killed run left behind: {names}")
    return lines + [_record_killed(folder) for folder in unfinished(results)]


def _record_killed(folder: Path) -> str:
    marker = folder / MARKER
    try:
        draft = parse_record(json.dumps(json.loads(marker.read_text(encoding="utf-8"))["record"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{marker}: the marker of a killed run cannot be read: {str(error).splitlines()[0]}"
    killed = draft.model_copy(update={"ended_at": now(), "reason": "the runner was killed during this run"})
    save(killed, folder)
    marker.unlink()
    return (
        f"{draft.ladder}/{draft.stage}: the runner was killed during run {draft.run_id}; recorded as killed"
    )
