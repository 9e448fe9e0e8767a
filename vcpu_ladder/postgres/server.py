"""A PostgreSQL server: our own from the wheel, or the one that ``DATABASE_URL`` names."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from vcpu_ladder import paths
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres import cluster
from vcpu_ladder.postgres.account import Account, server_account
from vcpu_ladder.postgres.connect import connect, one, session, with_database

MEASURE = paths.HOME / "postgres" / "postgresql.conf"
SEED = paths.HOME / "postgres" / "seed.conf"
HOST = "127.0.0.1"
SUPERVISOR = Path(__file__).with_name("supervisor.py")

# After a crash the server first replays its WAL, up to max_wal_size.
START_DEADLINE_S = 300.0
STOP_DEADLINE_S = 90.0
OLDEST_MAJOR = 17
"""For a server that is not ours: older ones lack the builtin collation that our databases use."""


class Server(Protocol):
    """Where databases can be made. ``kind`` is ``native`` or ``external``."""

    @property
    def kind(self) -> str: ...

    def url(self, database: str = "postgres") -> str:
        """The URL with password, for a driver; never to be printed."""
        ...

    def log_tail(self) -> str:
        """The last lines of the server's log; empty if we cannot read it."""
        ...

    def free_bytes(self) -> int | None:
        """Free space where the server keeps its data; None if we cannot tell."""
        ...


@dataclass
class NativeServer:
    """The wheel's server on 127.0.0.1, running until ``stop`` or until this process ends, however it ends."""

    home: Path
    port: int
    _supervisor: subprocess.Popen[bytes] = field(repr=False)
    _password: str = field(repr=False)
    kind: str = "native"

    @classmethod
    def start(
        cls, home: Path, port: int, settings: Path = MEASURE, cpus: Sequence[int] | None = None
    ) -> Self:
        """Start the server whose files are in ``home`` (created on the first call); returns when it answers.

        ``settings`` is the configuration file; ``cpus`` are the only ones the server and its children use.
        Raises EnvironmentNotReady with the server's last log lines: port taken, files in use, disk full.
        """
        account = server_account()
        password = cluster.prepare(home, account)
        cluster.install_settings(home, settings, account)
        server = cls(home, port, cls._spawn(home, port, cpus or (), account), password)
        try:
            server._wait_until_ready()
        except BaseException:
            server.stop()
            raise
        return server

    @staticmethod
    def _spawn(
        home: Path, port: int, cpus: Sequence[int], account: Account | None
    ) -> subprocess.Popen[bytes]:
        data = cluster.data_directory(home)
        command = [str(cluster.binary("postgres")), "-D", str(data)]
        given: Mapping[str, str] = {
            "config_file": str(data / cluster.SETTINGS),
            "listen_addresses": HOST,
            "port": str(port),
            "unix_socket_directories": "",
            # ALTER SYSTEM would outlive this server; only the configuration file may say what was measured.
            "allow_alter_system": "off",
        }
        for name, value in given.items():
            command += ["-c", f"{name}={value}"]
        who = [] if account is None else ["--uid", str(account.uid), "--gid", str(account.gid)]
        with cluster.log_path(home).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(SUPERVISOR), "--cpus", ",".join(map(str, cpus)), *who]
                + ["--", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                cwd="/",
                start_new_session=True,  # only the runner should receive a Ctrl-C from the terminal
            )

    def _wait_until_ready(self) -> None:
        ends = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < ends:
            if self._supervisor.poll() is not None:
                raise EnvironmentNotReady(
                    f"PostgreSQL on port {self.port} ended while starting",
                    self.log_tail(),
                    self._remedy(self.log_tail()),
                )
            # Connect only after our server's log says that it is ready: another server may have the port.
            if b"database system is ready to accept connections" in cluster.log_path(self.home).read_bytes():
                self._check_sessions()
                return
            time.sleep(0.05)
        raise EnvironmentNotReady(
            f"PostgreSQL on port {self.port} did not become ready in {START_DEADLINE_S:g} s", self.log_tail()
        )

    def _check_sessions(self) -> None:
        try:
            connect(self.url()).close()
        except EnvironmentNotReady as error:
            evidence = f"{error.evidence}\n{self.log_tail()}"
            raise EnvironmentNotReady(error.what, evidence, self._remedy(evidence)) from error

    def _remedy(self, tail: str) -> str:
        if "could not bind" in tail:
            return f"stop what listens on port {self.port}, or set POSTGRES_PORT to another one"
        if "lock file" in tail:
            return "wait for the other command that uses this server, or end it"
        if "No space left" in tail:
            return "free disk space"
        if "password authentication failed" in tail:
            return f"rm -r {self.home}  # its password file was changed; the data is seeded anew"
        return f"less {cluster.log_path(self.home)}"

    def url(self, database: str = "postgres") -> str:
        return with_database(f"postgresql://{cluster.USER}:{self._password}@{HOST}:{self.port}", database)

    def log_tail(self, lines: int = 8) -> str:
        text = cluster.log_path(self.home).read_text(errors="replace").strip().splitlines()
        return "\n".join(text[-lines:])

    def free_bytes(self) -> int | None:
        facts = os.statvfs(self.home)
        return facts.f_bavail * facts.f_frsize

    def pid(self) -> int:
        """The server's own process, whose children are its sessions."""
        return int((cluster.data_directory(self.home) / "postmaster.pid").read_text().split("\n", 1)[0])

    def stop(self) -> None:
        """Shut down cleanly, with everything on disk; returns when the server is gone. Safe to call twice."""
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        try:
            self._supervisor.wait(timeout=STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True)
class ExternalServer:
    """A server that we did not start, by URL. The database named there is only used to connect."""

    _url: str = field(repr=False)
    kind: str = "external"

    @classmethod
    def check(cls, url: str) -> Self:
        """Raises UsageError (bad URL), EnvironmentNotReady (no answer, old server, no permission)."""
        with_database(url, "postgres")
        with session(url) as connection:
            major = connection.info.server_version // 10_000
            if major < OLDEST_MAJOR:
                raise EnvironmentNotReady(
                    f"DATABASE_URL is a PostgreSQL {major}; {OLDEST_MAJOR} or newer is needed",
                    next_command="unset DATABASE_URL  # the native server is then used",
                )
            allowed, name = one(
                connection,
                "SELECT rolcreatedb OR rolsuper, rolname FROM pg_roles WHERE rolname = current_user",
            )
            if not allowed:
                raise EnvironmentNotReady(
                    f"DATABASE_URL's role {name} may not create databases, and every run needs a new one",
                    next_command=f"psql -c 'ALTER ROLE \"{name}\" CREATEDB'",
                )
        return cls(url)

    def url(self, database: str | None = None) -> str:
        return self._url if database in (None, "postgres") else with_database(self._url, str(database))

    def log_tail(self) -> str:
        return ""

    def free_bytes(self) -> int | None:
        return None


def describe(server: Server) -> dict[str, Any]:
    """Facts for a record: kind, version, and every setting that differs from PostgreSQL's built-in value."""
    with session(server.url()) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE source NOT IN ('default', 'override',"
            " 'client', 'session') AND name NOT LIKE '%file' AND name NOT LIKE '%directory' ORDER BY name"
        ).fetchall()
        version = one(connection, "SHOW server_version")[0]
    return {"kind": server.kind, "version": version, "settings": dict(rows)}
