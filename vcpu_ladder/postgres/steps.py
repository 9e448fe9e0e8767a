"""The steps of seeding and what each has to wait for, and a scheduler that runs several at once.

A step waits for other steps, not for a phase: while the largest table is still loading, the indexes of the
others are built. Each worker is one session of the server and so uses one core.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vcpu_ladder.postgres.connect import Connection
from vcpu_ladder.records.events import Preparing

OnProgress = Callable[[Preparing], None]


@dataclass(frozen=True)
class Step:
    """``work`` runs in one session, in autocommit, once every step named in ``needs`` is done."""

    name: str
    work: Callable[[Connection, OnProgress], None]
    needs: frozenset[str] = frozenset()


class Cancelled(Exception):
    """Raised inside a step that is to stop early."""


class _Board:
    """What is waiting, running and done, shared by the workers under one lock."""

    def __init__(self, steps: Sequence[Step], on_progress: OnProgress) -> None:
        self._changed = threading.Condition()
        self._waiting = list(steps)
        self._done: set[str] = set()
        self._on_progress = on_progress
        self.failure: BaseException | None = None

    def take(self) -> Step | None:
        """The first step in the list's order that may start; None when no step is left."""
        with self._changed:
            while True:
                if self.failure or not self._waiting:
                    return None
                for step in self._waiting:
                    if step.needs <= self._done:
                        self._waiting.remove(step)
                        return step
                self._changed.wait()

    def finish(self, step: Step) -> None:
        with self._changed:
            self._done.add(step.name)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self.failure = self.failure or error
            self._changed.notify_all()

    def tell(self, progress: Preparing) -> None:
        """Call the listener, once at a time and never after a failure; steps are also cancelled here."""
        with self._changed:
            if self.failure:
                raise Cancelled
            self._on_progress(progress)


def run_steps(
    steps: Sequence[Step], connect: Callable[[], Connection], workers: int, on_progress: OnProgress
) -> None:
    """Run all steps, at most ``workers`` at a time, earlier ones in the list first.

    Returns when every session is closed. Raises what the first failing step, or ``on_progress``, raised;
    running statements of other steps are cancelled, and on KeyboardInterrupt as well.
    """
    board = _Board(steps, on_progress)
    connections: list[Connection] = []
    try:
        connections += [connect() for _ in range(workers)]
        threads = [threading.Thread(target=_work, args=(board, own), daemon=True) for own in connections]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive() and not board.failure:
                    thread.join(0.1)
        except BaseException as error:
            board.fail(error)
            raise
        finally:
            _end(board, threads, connections)
    finally:
        for connection in connections:
            connection.close()
    if board.failure:
        raise board.failure


def _work(board: _Board, connection: Connection) -> None:
    try:
        while (step := board.take()) is not None:
            begun = time.monotonic()
            board.tell(Preparing(step=step.name))
            step.work(connection, board.tell)
            board.tell(Preparing(step=step.name, seconds=time.monotonic() - begun))
            board.finish(step)
    except Cancelled:
        pass
    except BaseException as error:  # handed to the calling thread, which raises it
        board.fail(error)


def _end(board: _Board, threads: Sequence[threading.Thread], connections: Sequence[Connection]) -> None:
    for thread, connection in zip(threads, connections, strict=True):
        while thread.is_alive():
            if board.failure and not connection.closed:
                connection.cancel_safe(timeout=5)
            thread.join(0.2)
