"""What the runner reports: one typed stream for progress, live views, replays and tests.

An event says what happened and to which run, never how to show it. ``EventLog`` writes each as one line of
``events.jsonl``; ``read_events`` reads them back, so that a replay shows what was shown live.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vcpu_ladder.errors import UsageError, not_writable
from vcpu_ladder.records.record import RunRecord, Status
from vcpu_ladder.records.store import now

EVENTS = "events.jsonl"
CLIMBS = "climbs"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedRun(_Event):
    """``stage`` is LADDER/STAGE, here and in every event; ``repeat`` counts from 0."""

    stage: str
    repeat: int


class Planned(_Event):
    """What a climb is going to do. A plan may stop early or add runs; a changed plan is a new event."""

    event: Literal["planned"] = "planned"
    climb_id: str
    runs: tuple[PlannedRun, ...]
    load_s: float


class Preparing(_Event):
    """Progress of making data and images: ``done`` of ``total`` rows while rows load, else 0 of 0.

    ``seconds`` is None when the step starts or moves on, and its duration when it is done.
    """

    event: Literal["preparing"] = "preparing"
    step: str
    done: int = 0
    total: int = 0
    seconds: float | None = None


class Step(_Event):
    """A run has begun a step. ``detail`` is what the step waits for, if it says so."""

    event: Literal["step"] = "step"
    stage: str
    run_id: str
    repeat: int
    step: str
    detail: str = ""


class Sampled(_Event):
    """A second of load. ``left_s`` is the time left of the load; ``values`` are ``run.columns``'s columns."""

    event: Literal["sample"] = "sample"
    stage: str
    run_id: str
    repeat: int
    phase: str
    left_s: float
    values: Mapping[str, float | None]


class Checked(_Event):
    """One validity check of a run that has ended."""

    event: Literal["check"] = "check"
    stage: str
    run_id: str
    name: str
    severity: Literal["invalid", "warning"]
    ok: bool
    text: str


class Finished(_Event):
    """A run has its record. ``rps`` and ``error_ratio`` are None where nothing was measured."""

    event: Literal["finished"] = "finished"
    stage: str
    run_id: str
    repeat: int
    status: Status
    reason: str | None = None
    rps: float | None = None
    error_ratio: float | None = None
    limit: str | None = None

    @classmethod
    def of(cls, record: RunRecord) -> Finished:
        figures = record.figures
        return cls(
            stage=f"{record.ladder}/{record.stage}",
            run_id=record.run_id,
            repeat=record.repeat,
            status=record.status,
            reason=record.reason,
            rps=figures.rps if figures else None,
            error_ratio=figures.error_ratio if figures else None,
            limit=record.limit.name if record.limit else None,
        )


Event = Planned | Preparing | Step | Sampled | Checked | Finished
Listener = Callable[[Event], None]


class Logged(BaseModel):
    """An event as it is in a file: when it was reported, and seconds since the log was opened."""

    model_config = ConfigDict(frozen=True)

    at: str
    elapsed_s: float
    told: Event = Field(discriminator="event")


def nobody(event: Event) -> None:
    """The listener of a run that nobody watches: does nothing."""


def everybody(*listeners: Listener) -> Listener:
    """One listener that calls each of these, in order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


class EventLog:
    """A listener that appends to ``events.jsonl``, each line whole and flushed: a reader may follow it live.

    Raises EnvironmentNotReady when the file cannot be created. A disk that fills up later ends the log, not
    the run; ``lost`` then says why.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise not_writable(path, error) from None
        self.path = path
        self.lost: str | None = None
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        line = Logged(at=now(), elapsed_s=round(time.monotonic() - self._began, 3), told=event)
        with self._lock:
            if self.lost is not None or self._file.closed:
                return
            try:
                self._file.write(line.model_dump_json() + "\n")
                self._file.flush()
            except OSError as error:
                self.lost = f"{self.path}: {error.strerror}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._file.close()


def events_path(results: Path, climb_id: str) -> Path:
    return results / CLIMBS / climb_id / EVENTS


def read_events(path: Path) -> Iterator[Logged]:
    """The events of a file in order. Raises UsageError, naming file and line, for a line that is no event. An
    unterminated last line is left out: its writer is still at work, or was killed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    whole, _, _ = text.rpartition("\n")
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            yield Logged.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]["msg"]
            raise UsageError(f"{path}: line {number} is not an event: {first}") from None
