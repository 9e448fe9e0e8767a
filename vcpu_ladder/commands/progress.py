"""Progress on standard error: one live line on a terminal, a line a phase elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from vcpu_ladder.ladder.durations import show_duration
from vcpu_ladder.records.events import Moment
from vcpu_ladder.records.record import RunRecord

# Drawing costs CPU on the generator's side: four frames a second at most.
_FRAMES_PER_S = 4
# Off a terminal, a line this often while the load runs.
_PLAIN_EVERY_S = 10.0


class Progress:
    """A Listener for people. ``runs`` is how many runs are to come; use as a context manager."""

    def __init__(self, console: Console, runs: int) -> None:
        self._console = console
        self._runs = runs
        self._done = 0
        self._phase = ""
        self._last_plain = 0.0
        self._live = Live(console=console, refresh_per_second=_FRAMES_PER_S, transient=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()

    def moment(self, moment: Moment) -> None:
        line = f"[{self._done + 1}/{self._runs}] {moment.name} repeat {moment.repeat + 1}: {moment.phase}"
        if moment.left_s is not None:
            line += f", {show_duration(moment.left_s)} left"
        if moment.rps is not None:
            line += f", {moment.rps:.0f} RPS"
        if self._live.is_started:
            self._live.update(Text(line))
            return
        due = moment.left_s is not None and time.monotonic() - self._last_plain >= _PLAIN_EVERY_S
        phase = f"{moment.name} {moment.repeat} {moment.phase}"
        if phase != self._phase or due:
            self._phase, self._last_plain = phase, time.monotonic()
            self._console.print(line, highlight=False)

    def finished(self, record: RunRecord) -> None:
        self._done += 1
        figures = record.figures
        rps = f"{figures.rps:.1f} RPS, {figures.error_ratio:.2%} errors" if figures else "no figures"
        limit = f", limit: {record.limit.name}" if record.limit else ""
        line = f"[{self._done}/{self._runs}] {record.ladder}/{record.stage} repeat {record.repeat + 1}: "
        line += f"{record.status}, {rps}{limit}"
        self._console.print(line, highlight=False)
        if record.reason:
            self._console.print(f"    {record.reason}", highlight=False, markup=False)
