"""The native server for real: who may reach it, how it ends, and what it says when it cannot start."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.needs import as_root, with_program
from vcpu_ladder import paths
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres import cluster
from vcpu_ladder.postgres.connect import connect, one, session
from vcpu_ladder.postgres.server import ExternalServer, NativeServer, describe

pytestmark = pytest.mark.e2e


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that root's server can pass through as well: pytest's own are closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix="vcpu-ladder-postgres-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(done: Callable[[], bool], what: str, deadline_s: float = 20) -> None:
    ends = time.monotonic() + deadline_s
    while not done():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with reachable_folder() as folder:
        NativeServer.start(folder, free_port()).stop()
        yield folder


@pytest.fixture
def server(home: Path) -> Iterator[NativeServer]:
    with NativeServer.start(home, free_port()) as started:
        yield started


def test_it_listens_on_loopback_alone(server: NativeServer) -> None:
    listening = [
        tuple(link.laddr)
        for link in psutil.Process(server.pid()).net_connections("all")
        if link.status == psutil.CONN_LISTEN
    ]
    assert listening == [("127.0.0.1", server.port)]


def test_the_password_is_private_and_needed(server: NativeServer) -> None:
    path = cluster.password_path(server.home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.data_directory(server.home).stat().st_mode) == 0o700
    password = path.read_text().strip()
    assert password in server.url()
    with pytest.raises(EnvironmentNotReady, match="refuses this password") as caught:
        connect(server.url().replace(password, "wrong"))
    assert password not in str(caught.value)
    with session(server.url()) as connection:
        methods = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
        stored = one(connection, "SELECT rolpassword FROM pg_authid WHERE rolname = current_user")[0]
    assert methods == [("scram-sha-256",)]
    assert stored.startswith("SCRAM-SHA-256$")


def test_it_runs_the_measuring_settings_and_nothing_written_by_alter_system(server: NativeServer) -> None:
    facts = describe(server)
    assert facts["version"].startswith("18.")
    assert facts["settings"]["shared_buffers"] == "512MB"
    with session(server.url()) as connection:
        durable = one(connection, "SELECT string_agg(setting, ' ') FROM pg_settings WHERE name IN"
                      " ('fsync', 'full_page_writes', 'synchronous_commit')")  # fmt: skip
        assert durable == ("on on on",)
        with pytest.raises(Exception, match="ALTER SYSTEM is not allowed"):
            connection.execute("ALTER SYSTEM SET fsync = off")


def test_it_keeps_to_its_cpus(home: Path) -> None:
    with NativeServer.start(home, free_port(), cpus=[0]) as server, session(server.url()) as connection:
        pids = [server.pid(), connection.info.backend_pid]
        assert [psutil.Process(pid).cpu_affinity() for pid in pids] == [[0], [0]]


@as_root
def test_root_runs_it_as_an_unprivileged_user(server: NativeServer) -> None:
    process = psutil.Process(server.pid())
    assert set(process.uids()) | set(process.gids()) == {65534} or 0 not in process.uids()
    groups = Path(f"/proc/{process.pid}/status").read_text().split("Groups:")[1].splitlines()[0]
    assert not groups.strip()


@as_root
@with_program("setpriv")
def test_an_ordinary_user_runs_it_as_themselves() -> None:
    # The interpreter may be in root's home: the capability lets the user read it there, and nothing more.
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    user += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    with reachable_folder() as folder:
        folder.chmod(0o777)
        answer = subprocess.run(
            [*user, sys.executable, "-m", "vcpu_ladder.postgres", "seed", "--scale", "0.0005"]
            + ["--home", str(folder / "home"), "--port", str(free_port())],
            cwd=paths.HOME,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert "500 users" in answer.stdout
        owners = {path.stat().st_uid for path in (folder / "home").iterdir()}
        assert owners == {65534}


@as_root
def test_a_home_that_the_servers_user_cannot_enter_is_named() -> None:
    with reachable_folder() as folder:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(EnvironmentNotReady, match="cannot reach") as caught:
            NativeServer.start(closed / "home", free_port())
        assert caught.value.next_command is not None
        assert str(closed) in caught.value.next_command


def test_a_taken_port_is_told_with_the_servers_words(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EnvironmentNotReady, match="ended while starting") as caught:
            NativeServer.start(home, taken.getsockname()[1])
    assert "could not bind" in (caught.value.evidence or "")


def test_files_in_use_are_told_and_left_alone(server: NativeServer) -> None:
    with pytest.raises(EnvironmentNotReady) as caught:
        NativeServer.start(server.home, free_port())
    assert "already" in (caught.value.evidence or "")
    connect(server.url()).close()


def test_a_lost_password_and_another_major_version_are_told() -> None:
    with reachable_folder() as folder:
        NativeServer.start(folder, free_port()).stop()
        version = cluster.data_directory(folder) / "PG_VERSION"
        version.write_text("17\n")
        with pytest.raises(EnvironmentNotReady, match="of PostgreSQL 17, not 18"):
            NativeServer.start(folder, free_port())
        version.write_text("18\n")
        cluster.password_path(folder).unlink()
        with pytest.raises(EnvironmentNotReady, match=r"password .* is lost"):
            NativeServer.start(folder, free_port())


def test_an_interrupted_initdb_is_begun_again() -> None:
    with reachable_folder() as folder:
        (folder / "data.new").mkdir()
        (folder / "data.new" / "PG_VERSION").write_text("18\n")
        (folder / "password.new").write_text("old\n")
        with NativeServer.start(folder, free_port()) as server:
            connect(server.url()).close()
        assert sorted(path.name for path in folder.iterdir()) == ["data", "password", "server.log"]


RUNNER = """
import sys, time
from pathlib import Path
from vcpu_ladder.postgres.server import NativeServer
server = NativeServer.start(Path(sys.argv[1]), int(sys.argv[2]))
print(server.pid(), server._supervisor.pid, flush=True)
time.sleep(100)
"""


@contextmanager
def runner(home: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, int]]:
    """A process of its own that started a server: (it, the server, the supervisor's pid)."""
    command = [sys.executable, "-c", RUNNER, str(home), str(free_port())]
    with subprocess.Popen(command, cwd=paths.HOME, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            server, supervisor = map(int, process.stdout.readline().split())
            yield process, psutil.Process(server), supervisor
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_outlives_its_runner(home: Path, number: signal.Signals) -> None:
    with runner(home) as (process, server, supervisor):
        children = server.children()
        assert children
        process.send_signal(number)
        wait_until(lambda: not server.is_running(), "the server is still there")
        assert not any(child.is_running() for child in children)
        wait_until(lambda: not psutil.pid_exists(supervisor), "the supervisor is still there")
    assert "database system is shut down" in cluster.log_path(home).read_text()


def test_no_server_outlives_its_supervisor(home: Path) -> None:
    with runner(home) as (_, server, supervisor):
        psutil.Process(supervisor).kill()
        wait_until(
            lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE,
            "the server is still there",
        )


def test_a_url_without_a_server_or_without_permission_is_told(server: NativeServer) -> None:
    with pytest.raises(EnvironmentNotReady, match="no connection"):
        ExternalServer.check(f"postgresql://me:secret@127.0.0.1:{free_port()}/x")
    with session(server.url()) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'x'")
        try:
            with pytest.raises(EnvironmentNotReady, match="reader may not create databases"):
                ExternalServer.check(f"postgresql://reader:x@127.0.0.1:{server.port}/postgres")
        finally:
            connection.execute("DROP ROLE reader")
