"""Leashed processes: started with their own log files, watched, and ended with everything they started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from vcpu_ladder import paths
from vcpu_ladder.environments.consumption import Consumption
from vcpu_ladder.errors import EnvironmentNotReady

LEASH = Path(__file__).with_name("leash.py")
# Set in every process of a run, so that a leftover one can be told from somebody else's process.
RUN_TAG = "VCPU_LADDER_RUN"


class Leashed:
    """One command under ``leash.py``; ``log`` is its standard error."""

    def __init__(self, name: str, leash: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.stderr_path = log
        self._leash = leash
        self._spent: dict[tuple[int, float], float] = {}

    def exit_code(self) -> int | None:
        """None while the command runs; -N when signal N ended it."""
        code = self._leash.poll()
        return code if code is None or code <= 128 else 128 - code

    def tail(self, lines: int = 8) -> str:
        """The last lines of its standard error."""
        text = self.stderr_path.read_text(errors="replace").strip().splitlines()
        return "\n".join(text[-lines:])

    def consumption(self) -> Consumption:
        rss = threads = 0
        pids = []
        for process in self._processes():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    self._spent[process.pid, process.create_time()] = times.user + times.system
                    rss += process.memory_info().rss
                    threads += process.num_threads()
                    pids.append(process.pid)
            except psutil.Error:
                continue  # it ended between listing and reading
        return Consumption(sum(self._spent.values()), rss, threads, tuple(pids))

    def _processes(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._leash.pid).children(recursive=True)
        except psutil.Error:
            return []

    def stop(self) -> None:
        """End the command and everything it started; returns when all are gone."""
        if self._leash.stdin is not None and not self._leash.stdin.closed:
            self._leash.stdin.close()
        try:
            self._leash.wait(timeout=15)
        except subprocess.TimeoutExpired:
            for process in self._processes():
                process.kill()
            self._leash.kill()
            self._leash.wait()

    def wait_until(self, ready: Callable[[], bool], what: str, deadline_s: float) -> None:
        """Poll ``ready`` until true. Raises EnvironmentNotReady with the last log lines otherwise."""
        ends = time.monotonic() + deadline_s
        while time.monotonic() < ends:
            code = self.exit_code()
            if code is not None:
                raise EnvironmentNotReady(f"{self.name} ended with status {code} before {what}", self.tail())
            if ready():
                return
            time.sleep(0.05)
        raise EnvironmentNotReady(f"{self.name}: {what} not reached in {deadline_s:g} s", self.tail())


@dataclass(frozen=True)
class Leashes:
    """Starts the processes of one run. All end when ``until`` closes, the last one first."""

    run_id: str
    folder: Path
    until: ExitStack

    def start(
        self,
        name: str,
        command: Sequence[str],
        cpus: Sequence[int],
        env: Mapping[str, str],
        not_inherited: tuple[str, ...],
    ) -> Leashed:
        """The command from the checkout; its output goes to ``folder/<name>.{out,err}``.

        Its variables are this process's, except those that begin with one of ``not_inherited``, plus ``env``.
        """
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(not_inherited)}
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}.err"
        with (self.folder / f"{name}.out").open("wb") as out, log.open("wb") as err:
            leash = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), "--cpus", ",".join(map(str, cpus)), "--", *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                env={**inherited, **env, RUN_TAG: f"{self.run_id} {_me()}"},
                cwd=paths.HOME,
                start_new_session=True,  # only the runner should receive a Ctrl-C from the terminal
            )
        process = Leashed(name, leash, log)
        self.until.callback(process.stop)
        return process


def _me() -> str:
    own = psutil.Process()
    return f"{own.pid} {own.create_time():.2f}"


def _runner_lives(tag: str) -> bool:
    """Whether the runner named in a tag (run id, pid, start time) is alive."""
    words = tag.split()
    try:
        return len(words) == 3 and f"{psutil.Process(int(words[1])).create_time():.2f}" == words[2]
    except (psutil.Error, ValueError):
        return False


def strays() -> list[psutil.Process]:
    """Processes of a run whose runner is gone (they are found by their tag)."""
    found = []
    for process in psutil.process_iter():
        try:
            tag = process.environ().get(RUN_TAG)
            if tag is not None and process.pid != os.getpid() and not _runner_lives(tag):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_strays(found: Sequence[psutil.Process]) -> None:
    for process in found:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(list(found), timeout=5)
