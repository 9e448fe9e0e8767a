"""Progress on standard error: one live line on a terminal, one line per step elsewhere. Reads events only."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.text import Text

from vcpu_ladder.commands.console import err
from vcpu_ladder.ladder.durations import show_duration
from vcpu_ladder.records.events import Event, Finished, Planned, Preparing, Sampled, Step

# Drawing costs CPU on the generator's side: four frames a second at most.
_FRAMES_PER_S = 4
# Without a terminal, one line per this many samples; samples come once a second.
_PLAIN_EVERY = 10


class Progress:
    """A listener for people; use as a context manager."""

    def __init__(self, console: Console = err) -> None:
        self._console = console
        self._runs = self._done = self._samples = 0
        self._phase = ""
        self._live = Live(console=console, refresh_per_second=_FRAMES_PER_S, transient=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case Planned():
                self._runs = self._done + len(event.runs)
            case Preparing():
                self._preparing(event)
            case Step():
                self._phase = ""
                self._now(self._line(event, event.detail or event.step))
            case Sampled():
                self._sampled(event)
            case Finished():
                self._finished(event)

    def _preparing(self, event: Preparing) -> None:
        if event.seconds is not None:
            self._say(f"{event.seconds:7.1f} s  {event.step}")
        elif event.total and self._live.is_started:
            self._now(f"{event.done / event.total:9.0%}  {event.step}")

    def _line(self, event: Step | Sampled, what: str) -> str:
        return f"[{self._done + 1}/{self._runs}] {event.stage} repeat {event.repeat + 1}: {what}"

    def _sampled(self, event: Sampled) -> None:
        rps = event.values.get("rps")
        what = f"{event.phase}, {show_duration(event.left_s)} left"
        what += "" if rps is None else f", {rps:.0f} RPS"
        if event.phase != self._phase:
            self._phase, self._samples = event.phase, 0
        if self._live.is_started or self._samples % _PLAIN_EVERY == 0:
            self._now(self._line(event, what))
        self._samples += 1

    def _finished(self, event: Finished) -> None:
        self._done += 1
        measured = "no figures"
        if event.rps is not None and event.error_ratio is not None:
            measured = f"{event.rps:.1f} RPS, {event.error_ratio:.2%} errors"
        limit = f", limit: {event.limit}" if event.limit else ""
        line = f"[{self._done}/{self._runs}] {event.stage} repeat {event.repeat + 1}: "
        self._say(f"{line}{event.status}, {measured}{limit}")
        if event.reason:
            self._say(f"    {event.reason}")

    def _now(self, line: str) -> None:
        """The current state: updated in place on a terminal, a line of its own elsewhere."""
        if self._live.is_started:
            self._live.update(Text(line))
        else:
            self._say(line)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
